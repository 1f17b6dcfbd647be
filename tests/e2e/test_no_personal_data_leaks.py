"""Personal data stays in `pii`, encrypted: planted texts are looked for in everything that a run leaves behind.

Orders of every fate run through all three DAGs in a real Airflow with scheduler, DAG processor and API server. The
reporting DAG is started by asset events alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from simplejson import dumps

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import Fault
from local.sandbox.seeds import AmazonOrderSeed, StoreView
from tests.e2e.conftest import Install
from tests.support.installation import ORDERS, REPORTING, SHIPMENTS, Installation
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id, with_every_personal_field
from tests.support.scheduled_airflow import scheduled

IN_DOUBT, CREATED, REFUSED, BLOCKED, MALFORMED, NAMELESS, CANCELED = map(order_id, range(1, 8))
# Payment data is never asked for.
NEVER_SENT = {"authorizationCode"}
RUN_SECONDS = 600  # only a safety net


class Talkative(CommerceState):
    """A shop that refuses one order and quotes in its refusal everything that it was sent about the buyer."""

    def create_order(self, entity: Any, view: StoreView | None) -> dict[str, Any]:
        if entity["ext_order_id"] != REFUSED:
            return super().create_order(entity, view)
        address = entity["billing_address"]
        comments = entity["status_histories"]
        raise CommerceRefusal(
            400,
            '%name of %street, %city cannot be delivered to: "%all".',
            {
                "name": f"{address['firstname']} {address['lastname']} <{address['email']}>",
                "street": " / ".join(address["street"]),
                "city": f"{address['postcode'].upper()} {address['city'].lower()}, {address['telephone']}",
                "all": json.dumps([address, comments]),
            },
        )


@dataclass(frozen=True)
class Aftermath:
    """What the runs have left: name of the place -> all of its text."""

    installation: Installation
    orders: dict[str, str]
    personal: dict[str, str]
    airflow: dict[str, str]
    files: dict[str, str]


@pytest.fixture(scope="module")
def aftermath(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """All three DAGs have run over orders of every fate, and one was shipped."""
    folder = tmp_path_factory.mktemp("leaks")
    with install(folder, shop=Talkative) as installation:
        plant(installation)
        with scheduled(installation) as api:
            first = api.run(ORDERS, RUN_SECONDS)
            shop = installation.sandbox.commerce
            (created,) = shop.order_by_ext_id(CREATED)
            shop.ship_order(
                created["entity_id"], None, [("custom", "By hand", "1Z1")], comment=f"For {MARKERS['recipient']}"
            )
            second = api.run(SHIPMENTS, RUN_SECONDS)
            for dag_id, run_id in ((ORDERS, first), (SHIPMENTS, second)):
                api.wait_for_triggered(dag_id, run_id, REPORTING, RUN_SECONDS)
        orders = tables(installation, "orders")
        yield Aftermath(
            installation,
            {name: content for name, content in orders.items() if not name.startswith("pii.")},
            {name: content for name, content in orders.items() if name.startswith("pii.")},
            tables(installation, "airflow"),
            files(folder),
        )


def plant(installation: Installation) -> None:
    """Orders of every fate, each with every personal field; the answer to the creation of one is lost."""
    amazon, clock = installation.sandbox.amazon, installation.sandbox.clock

    def add(amazon_order_id: str, minutes: int, lines: dict[str, int], status: str = "UNSHIPPED", **odd: Any) -> None:
        order = amazon_order(amazon_order_id, lines, status=status, at=clock.now() - timedelta(minutes=minutes))
        amazon.add_order(AmazonOrderSeed(SELLER_US, with_every_personal_field(order) | odd))

    add(IN_DOUBT, 60, {"TRAY-WALNUT": 1})
    add(CREATED, 50, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    add(REFUSED, 40, {"DOORMAT-COIR": 1})
    add(BLOCKED, 30, {"VASE-GLASS-TALL": 10_000})
    # A number that is none, and an order that names a person where its number should be.
    add(
        MALFORMED,
        20,
        {"TRAY-WALNUT": 1},
        proceeds={"grandTotal": {"amount": MARKERS["legalName"], "currencyCode": "USD"}},
    )
    add(NAMELESS, 20, {"TRAY-WALNUT": 1}, programs=MARKERS["buyerName"])
    add(CANCELED, 20, {"TRAY-WALNUT": 1}, status="CANCELLED")
    installation.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply", about=IN_DOUBT))


def tables(installation: Installation, database: str) -> dict[str, str]:
    """Every row of every table as text, by table."""
    query = installation.rows if database == "orders" else installation.airflow_rows
    names = [
        row.name
        for row in query(
            "select quote_ident(table_schema) || '.' || quote_ident(table_name) as name"
            " from information_schema.tables where table_type = 'BASE TABLE'"
            " and table_schema not in ('pg_catalog', 'information_schema')"
        )
    ]
    return {name: "\n".join(row.line for row in query(f"select t::text as line from {name} as t")) for name in names}


def files(folder: Path) -> dict[str, str]:
    """Every file that Airflow has written, the processes' own output included."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode("utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def forms(marker: str) -> set[str]:
    """The ways in which a text may be written down, in lower case but for base64; words of its own count for it."""
    words = set(re.findall(r"kwz\w{4,}", marker, re.IGNORECASE))
    found: set[str] = set()
    for text in {marker, marker.replace(" ", ""), *words}:
        for variant in {text, text.lower(), text.upper(), text.title()}:
            raw = variant.encode()
            found |= {variant.lower(), json.dumps(variant)[1:-1].lower(), raw.hex()}
            found |= {json.dumps(json.dumps(variant)[1:-1])[1:-1].lower()}
            found |= {quote(variant, safe="").lower(), quote_plus(variant).lower()}
            for shift in range(3):
                # What stands before it moves it in the groups of base64; the groups at both ends are shared.
                whole = base64.b64encode(b"\0" * shift + raw).decode()
                inner = whole[4 if shift else 0 : -4 if whole.endswith("=") else None]
                found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= 6}


def leaks(places: Mapping[str, str], markers: Iterable[str]) -> list[str]:
    """Where which marker stands, in any form; never the text around it."""
    wanted = {marker: forms(marker) for marker in markers}
    return [
        f"{marker!r} in {place}"
        for place, content in places.items()
        for lowered in [content.lower()]
        for marker, variants in wanted.items()
        if any(variant in lowered or variant in content for variant in variants)
    ]


@pytest.mark.parametrize("marker", [MARKERS["giftMessage"], MARKERS["addressLine2"], MARKERS["phone"]])
@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        str.lower,
        json.dumps,
        quote,
        quote_plus,
        lambda text: text.encode().hex(),
        lambda text: json.dumps({"text": json.dumps([text])}),
        lambda text: base64.b64encode(f"a{text}b".encode()).decode(),
        lambda text: base64.b64encode(f"ab{text}".encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"abc{text}abc".encode()).decode(),
        lambda text: text.replace(" ", ""),
    ],
    ids=[
        "plain",
        "upper",
        "lower",
        "json",
        "url",
        "form",
        "hex",
        "json twice",
        "base64",
        "base64 2",
        "base64 3",
        "close",
    ],
)
def test_marker_is_found_when_it_is_written_in_another_way(marker: str, write: Any) -> None:
    assert leaks({"log": f"order=1 {write(marker)} ms=3"}, [marker]) == [f"{marker!r} in log"]
    assert leaks({"log": "order=1 of somebody ms=3"}, [marker]) == []


def test_orders_have_every_kind_of_outcome_when_all_dags_have_run(aftermath: Aftermath) -> None:
    installation = aftermath.installation
    states = {row.amazon_order_id: row.state for row in installation.rows("select * from ops.order_outbox")}
    assert states == {CREATED: "created", IN_DOUBT: "in_doubt", REFUSED: "rejected"}
    shown = {row.amazon_order_id: row for row in installation.rows("select * from reporting.recent_orders")}
    assert set(shown) == {IN_DOUBT, CREATED, REFUSED, BLOCKED, CANCELED}
    assert shown[BLOCKED].blocker_codes == ["out_of_stock"]
    assert "cannot be delivered" in shown[REFUSED].order_notes
    assert shown[CANCELED].status == "Canceled"
    assert len(installation.rows("select * from ops.quarantined_orders")) == 2
    assert len(installation.sandbox.amazon.confirmations) == 1


def test_reporting_runs_when_assets_have_changed(aftermath: Aftermath) -> None:
    runs = aftermath.installation.airflow_rows(
        "select run_type, state from dag_run where dag_id = :dag_id and end_date is not null", dag_id=REPORTING
    )
    assert runs
    assert {(run.run_type, run.state) for run in runs} == {("asset_triggered", "success")}


def test_personal_data_is_found_when_read_where_it_belongs(aftermath: Aftermath) -> None:
    installation = aftermath.installation
    in_shop = dumps(installation.sandbox.commerce.order_by_ext_id(CREATED), use_decimal=True)
    for name in ("buyerName", "buyerEmail", "recipient", "addressLine1", "addressLine2", "postalCode", "phone"):
        assert leaks({"shop": in_shop}, [MARKERS[name]]), name
    assert "Kwzgift" in in_shop
    cipher = installation.cipher()
    for row in installation.rows("select * from pii.order_contacts"):
        contact = dumps(cipher.decrypt(bytes(row.contact_encrypted)), use_decimal=True)
        missing = {name for name, marker in MARKERS.items() if not leaks({"contact": contact}, [marker])}
        assert missing == NEVER_SENT | ({"buyerEmail"} if row.amazon_order_id == CANCELED else set())
    quarantined = installation.rows("select * from pii.quarantined_payloads")
    assert len(quarantined) == 2
    for row in quarantined:
        assert leaks({"": dumps(cipher.decrypt(bytes(row.payload_encrypted)))}, [MARKERS["recipient"]])


def test_no_personal_data_is_found_when_the_orders_database_is_read(aftermath: Aftermath) -> None:
    assert CREATED in aftermath.orders["raw.amazon_orders"]
    assert CREATED in aftermath.orders["core.orders"]
    assert CREATED in aftermath.orders["reporting.recent_orders"]
    assert leaks(aftermath.orders, MARKERS.values()) == []


def test_no_personal_data_is_found_when_pii_is_read_without_the_key(aftermath: Aftermath) -> None:
    assert CREATED in aftermath.personal["pii.order_contacts"]
    assert leaks(aftermath.personal, MARKERS.values()) == []
    undone = {
        name: "\n".join(bytes.fromhex(text).decode("latin-1") for text in re.findall(r"\\x([0-9a-f]+)", content))
        for name, content in aftermath.personal.items()
    }
    assert {name for name, text in undone.items() if "gAAAA" in text} == {name for name, text in undone.items() if text}
    assert "gAAAA" in undone["pii.order_contacts"], "no Fernet token"
    assert leaks(undone, MARKERS.values()) == []


def test_no_personal_data_is_found_when_airflows_database_is_read(aftermath: Aftermath) -> None:
    for table in ("xcom", "rendered_task_instance_fields", "log", "asset_event", "dag_code", "serialized_dag"):
        assert aftermath.airflow[f"public.{table}"], table
    assert leaks(aftermath.airflow, MARKERS.values()) == []


def test_no_personal_data_is_found_when_logs_are_read(aftermath: Aftermath) -> None:
    logs = "\n".join(content for name, content in aftermath.files.items() if "task_id=create_commerce_orders" in name)
    for amazon_order_id in (IN_DOUBT, CREATED, REFUSED):
        assert amazon_order_id in logs
    assert any(
        "task_id=extract_amazon_orders" in name and "quarantined" in text for name, text in aftermath.files.items()
    )
    assert {f".data/logs/{name}.log" for name in ("scheduler", "api-server", "dag-processor")} <= set(aftermath.files)
    assert leaks(aftermath.files, MARKERS.values()) == []
