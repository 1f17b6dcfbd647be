"""Bad input: a clear error that names what to mend, nothing lost, and the next run after it catches up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from include.adapters.personal_data import PersonalDataCipher
from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError
from include.sandbox.seeds import AmazonOrderSeed
from tests.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.road import Road

CHECKOUT = Path(__file__).parents[2]
ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}
NOWHERE = URL.create("postgresql+psycopg", "orders_rw", "planted-password", "127.0.0.1", 9, "orders")


def created(road: Road) -> list[str]:
    return sorted(order["ext_order_id"] for order in road.sandbox.commerce.orders())


def landed(road: Road) -> tuple[int, int]:
    """Orders that landed, and windows whose end is the watermark."""
    return (
        road.value("select count(*) from raw.amazon_orders"),
        road.value("select count(*) from ops.ingest_windows where state = 'landed'"),
    )


# Credentials


@pytest.mark.parametrize("part", ["client_id", "client_secret", "refresh_token"])
def test_orders_when_the_credentials_for_amazon_are_wrong(road: Road, part: str) -> None:
    sound = road.scenario
    wrong = replace(sound.applications[0], **{part: "planted-secret"})
    road.scenario = replace(sound, applications=(wrong, *sound.applications[1:]))
    road.buy(ORDER, TRAY)
    with pytest.raises(MisconfiguredError, match=r"amazon_sp_api.*Resolution:") as caught:
        road.next_run()
    assert "planted-secret" not in str(caught.value)
    assert landed(road) == (0, 0)
    road.scenario = sound
    road.next_run()
    assert created(road) == [ORDER]


def test_other_accounts_when_one_has_wrong_credentials(road: Road) -> None:
    wrong = replace(road.scenario.applications[0], client_secret="planted-secret")
    road.scenario = replace(road.scenario, applications=(wrong, *road.scenario.applications[1:]))
    uk = {"marketplace_id": "A1F83G8C2ARO7P", "currency": "GBP", "seller_id": "A2EXAMPLESELLER"}
    road.buy(ORDER, TRAY, **uk)
    road.pass_time(minutes=10)
    road.stage_stores()
    with pytest.raises(MisconfiguredError):
        road.extract_amazon_orders("acme-na")
    road.extract_amazon_orders("acme-eu")
    road.stage_amazon_orders()
    assert road.validate_orders() == ["acme-eu"]
    road.create_commerce_orders("acme-eu")
    assert created(road) == [ORDER]


@pytest.mark.parametrize("part", ["consumer_secret", "access_token", "access_token_secret"])
def test_orders_when_the_credentials_for_commerce_are_wrong(road: Road, part: str) -> None:
    sound = road.scenario
    road.scenario = replace(sound, commerce=replace(sound.commerce, **{part: "planted-secret"}))
    road.buy(ORDER, TRAY)
    with pytest.raises(MisconfiguredError, match=r"Resolution: check credentials.*commerce_api") as caught:
        road.next_run()
    assert "planted-secret" not in str(caught.value)
    road.publish_recent_orders()
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked) == ("Unshipped", False)
    assert "Resolution: check credentials" in shown.order_notes
    assert "planted-secret" not in shown.order_notes
    road.scenario = sound
    road.next_run()
    assert created(road) == [ORDER]


# Orders that break the contract


def without(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0].pop(path)


def item_with(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0].update(values)


def total_of(amount: Any, currency: Any = "USD") -> Callable[[dict[str, Any]], None]:
    return lambda document: document["proceeds"].update(grandTotal={"amount": amount, "currencyCode": currency})


def title_of(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["orderItems"][0]["product"].update(title=text)


def twice(document: dict[str, Any]) -> None:
    document["orderItems"] *= 2


MALFORMED: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (without("quantityOrdered"), "orderItems[0].quantityOrdered: required"),
    (without("orderItemId"), "orderItems[0].orderItemId: required"),
    (item_with(quantityOrdered=-1), "orderItems[0].quantityOrdered: minimum"),
    (item_with(quantityOrdered="1"), "orderItems[0].quantityOrdered: type"),
    (item_with(orderItemId=MARKERS["recipient"] + "\x00"), "orderItems[].orderItemId: characters or digits"),
    (item_with(product=MARKERS["recipient"]), "orderItems[0].product: type"),
    (total_of("1,5"), "proceeds.grandTotal.amount: pattern"),
    (total_of("12 " + MARKERS["phone"]), "proceeds.grandTotal.amount: pattern"),
    (total_of("1.00", "usd"), "proceeds.grandTotal.currencyCode: pattern"),
    (title_of("a\x00b"), "orderItems[].product.title: characters or digits"),
    (twice, "orderItems[].orderItemId: unique"),
    (lambda document: document.update(orderItems=[]), "orderItems: minItems"),
    (lambda document: document.update(programs="PRIME"), "programs: type"),
    (lambda document: document.update(orderId="Marker Buyername"), "orderId: pattern"),
]


def test_orders_when_some_are_malformed_are_set_aside_and_the_rest_goes_on(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    documents = []
    for number, (spoil, _) in enumerate(MALFORMED, start=10):
        document = amazon_order(order_id(number), TRAY, at=road.sandbox.clock.now())
        spoil(document)
        documents.append(document)
        road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    for number in (1, 2):
        road.buy(order_id(number), TRAY)
    road.change_settings(orders_per_page=3)
    road.next_run()

    assert created(road) == [order_id(1), order_id(2)]
    assert landed(road) == (2, 3), "every account's watermark moved"
    found = road.rows("select * from ops.quarantined_orders join pii.quarantined_payloads using (payload_sha256)")
    by_id = {row.amazon_order_id: row for row in found}
    opened = []
    for document, (_, finding) in zip(documents, MALFORMED, strict=True):
        row = by_id[document["orderId"] if finding != "orderId: pattern" else None]
        assert row.findings == [finding]
        assert (row.account_name, row.seen_count, row.released_at) == ("acme-na", 1, None)
        assert "Seller Central" in row.remedy
        opened.append(road.cipher.decrypt(bytes(row.payload_encrypted))["document"])
    for document, copy in zip(documents, opened, strict=True):
        assert copy == json.loads(json.dumps(document), parse_float=Decimal)
    shown = road.rows("select * from reporting.quarantined_orders")
    assert len(shown) == len(found) == len(MALFORMED)
    said = caplog.text + repr([row._mapping for row in shown]) + repr([row.findings for row in found])
    assert not [marker for marker in MARKERS.values() if marker in said]


def test_order_when_it_is_malformed_first_and_sound_later(road: Road) -> None:
    document = amazon_order(ORDER, TRAY, at=road.sandbox.clock.now())
    sound_total = document["proceeds"]["grandTotal"]
    total_of("a lot")(document)
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.next_run()
    road.next_run()
    assert road.value("select seen_count from ops.quarantined_orders") == 2, "the windows overlap"
    assert created(road) == []
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": sound_total}})
    road.next_run()
    assert created(road) == [ORDER]
    assert road.value("select released_at from ops.quarantined_orders") is not None
    assert road.rows("select * from reporting.quarantined_orders") == []


def test_order_when_a_newer_version_is_malformed_keeps_the_sound_one(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    total = road.shown(ORDER).grand_total_amount
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": {"amount": "a lot"}}})
    road.next_run()
    shown = road.shown(ORDER)
    assert (shown.grand_total_amount, shown.status) == (total, "Unshipped")
    assert shown.order_notes.startswith("Amazon sent a newer version that cannot be read")
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": {"amount": str(total)}}})
    road.next_run()
    assert "cannot be read" not in road.shown(ORDER).order_notes
    assert created(road) == [ORDER]


# Keys of personal data


def test_order_when_its_key_is_gone_at_creation(road: Road) -> None:
    sound = road.cipher
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    road.cipher = PersonalDataCipher([Fernet.generate_key().decode()])
    with pytest.raises(MisconfiguredError, match=r"ORDERS_PII_KEYS.*Resolution: put the missing key back"):
        road.create_commerce_orders()
    assert created(road) == []
    assert road.value("select state from ops.order_outbox") == "planned"
    road.cipher = sound
    road.next_run()
    assert created(road) == [ORDER]


def test_window_when_the_key_of_a_known_order_is_gone(road: Road) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    road.cipher = PersonalDataCipher([old])
    road.buy(ORDER, TRAY)
    road.next_run()
    before = landed(road)
    road.cipher = PersonalDataCipher([new])
    road.sandbox.amazon.apply(ORDER, {"buyer": {"buyerName": "Another"}})
    road.buy(order_id(2), TRAY)
    with pytest.raises(MisconfiguredError, match="ORDERS_PII_KEYS"):
        road.next_run()
    assert landed(road) == before, "nothing of the page, and the watermark stays"
    road.cipher = PersonalDataCipher([new, old])
    road.next_run()
    assert created(road) == [ORDER, order_id(2)]


# Settings and connections, as a task meets them

TASK = """
import sys
from include.steps import extract_amazon_orders
from include.wiring import Wiring

try:
    with Wiring() as wiring:
        account, client = wiring.account("acme-na"), wiring.amazon("acme-na")
        wiring.commerce("commerce_api")
        done = extract_amazon_orders.run(
            wiring.engine, client, wiring.cipher, account, wiring.settings, dag_run_id="test"
        )
        print("done", done["orders"])
except Exception as error:
    print(type(error).__name__, error)
"""


def connection(host: str, **extra: str) -> str:
    return json.dumps({"conn_type": "http", "host": host, "extra": extra})


@pytest.fixture
def task_environment(road: Road, tmp_path: Path) -> dict[str, str]:
    """The environment of a task that would do well: what every case below spoils in one place."""
    url = road.engine.url
    application, shop = road.scenario.applications[0], road.scenario.commerce
    database = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    amazon = connection(
        road.sandbox.amazon_url,
        token_url=road.sandbox.amazon_url + "/auth/o2/token",
        client_id=application.client_id,
        client_secret=application.client_secret,
        refresh_token=application.refresh_token,
        seller_id=application.seller_id,
        region=application.region,
    )
    commerce = connection(
        road.sandbox.commerce_url,
        consumer_key=shop.consumer_key,
        consumer_secret=shop.consumer_secret,
        access_token=shop.access_token,
        access_token_secret=shop.access_token_secret,
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS"))}
    return kept | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_ORDERS_DB": json.dumps(database),
        "AIRFLOW_CONN_AMAZON_SP_API": amazon,
        "AIRFLOW_CONN_COMMERCE_API": commerce,
        "ORDERS_PII_KEYS": Fernet.generate_key().decode(),
    }


def run_tasks(environments: dict[str, dict[str, str]]) -> dict[str, str]:
    """What each task says; all start at once, each in a process of its own."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", TASK],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, environment in environments.items()
    }
    return {name: process.communicate(timeout=120)[0].strip() for name, process in started.items()}


def test_task_when_a_setting_or_connection_is_wrong(
    road: Road, task_environment: dict[str, str], tmp_path: Path
) -> None:
    stores_file = tmp_path / "stores.yaml"
    sound_stores = (CHECKOUT / "include" / "stores.yaml").read_text(encoding="utf-8")
    stores_file.write_text(sound_stores.replace("ATVPDKIKX0DER", "A0NOWHERE"), encoding="utf-8")
    amazon = json.loads(task_environment["AIRFLOW_CONN_AMAZON_SP_API"])
    other_seller = amazon | {"extra": amazon["extra"] | {"seller_id": "A9STRANGER"}}
    poorer = amazon | {"extra": {k: v for k, v in amazon["extra"].items() if k != "refresh_token"}}
    cases: dict[str, tuple[dict[str, str | None], list[str]]] = {
        # case: (what is changed in the environment, what the error names)
        "no key": ({"ORDERS_PII_KEYS": ""}, ["ORDERS_PII_KEYS is not set", "Resolution: make a key"]),
        "bad key": ({"ORDERS_PII_KEYS": "planted-secret"}, ["ORDERS_PII_KEYS: key 1 of 1 is not a Fernet key"]),
        "no number": ({"ORDERS_TASK_RETRIES": "many"}, ["ORDERS_TASK_RETRIES must be a whole number, not 'many'"]),
        "marketplace": (
            {"ORDERS_STORES_FILE": str(stores_file)},
            [f"{stores_file}:14: store Acme US: marketplace_id 'A0NOWHERE' is not a marketplace of Amazon"],
        ),
        "stranger": ({"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(other_seller)}, ["acme-na", "seller_id", "A9STRANGER"]),
        "no token": ({"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(poorer)}, ["'amazon_sp_api' lacks refresh_token"]),
        "no connection": ({"AIRFLOW_CONN_COMMERCE_API": None}, ["no Airflow connection 'commerce_api'", "Resolution:"]),
        "http to amazon": (
            {"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(amazon | {"host": "http://sellingpartnerapi-na.amazon.com"})},
            ["amazon_sp_api", "plain http is refused for sellingpartnerapi-na.amazon.com", "https"],
        ),
        "http to the shop": (
            {
                "AIRFLOW_CONN_COMMERCE_API": connection(
                    "http://shop.example", auth="bearer", access_token="planted-secret"
                )
            },
            ["commerce_api", "plain http is refused for shop.example", "https"],
        ),
        "no database": (
            {"AIRFLOW_CONN_ORDERS_DB": json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "port": 9})},
            ["The orders database cannot be reached", '"127.0.0.1", port 9', "Resolution: check that PostgreSQL runs"],
        ),
    }
    road.stage_stores()
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    spoiled = {
        name: {key: value for key, value in (task_environment | changes).items() if value is not None}
        for name, (changes, _) in cases.items()
    }
    said = run_tasks(spoiled)
    for name, (_, named) in cases.items():
        kind = "OperationalError" if name == "no database" else "MisconfiguredError"
        assert said[name].startswith(kind), said[name]
        for part in named:
            assert part in said[name], name
        assert "planted-secret" not in said[name]
    assert landed(road) == (0, 0)
    assert road.rows("select * from ops.ingest_windows") == []
    assert run_tasks({"sound": task_environment}) == {"sound": "done 1"}, "nothing else was wrong"
    assert landed(road) == (1, 1)


# The database


def test_step_when_the_database_cannot_be_reached(road: Road) -> None:
    sound = road.engine
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.engine = make_engine(NOWHERE, application_name="tests")
    for step in (road.stage_stores, road.stage_amazon_orders, road.validate_orders, road.create_commerce_orders):
        with pytest.raises(OperationalError, match="The orders database cannot be reached") as caught:
            step()
        assert "Resolution: check that PostgreSQL runs" in str(caught.value)
        assert "planted-password" not in str(caught.value)
    assert created(road) == []
    road.engine = sound
    road.next_run()
    assert created(road) == [ORDER]


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (NOWHERE.render_as_string(hide_password=False), ['"127.0.0.1", port 9', "Connection refused"]),
        ("planted-password", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("postgresql://admin:planted-password@db:port/orders", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("mysql://admin:planted-password@db/orders", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("the analyst", ["permission denied"]),
    ],
)
def test_migrate_command_when_the_database_is_not_usable(database_url: URL, address: str, named: list[str]) -> None:
    if address == "the analyst":
        address = database_url.set(username="analyst").render_as_string(hide_password=False)
    ran = subprocess.run(
        [sys.executable, "-m", "include.database", "migrate"],
        cwd=CHECKOUT,
        env=os.environ | {"ORDERS_DB_ADMIN_URL": address},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    for part in ("The orders database was not migrated:", *named, "Resolution: check ORDERS_DB_ADMIN_URL"):
        assert part in ran.stderr
    assert "planted-password" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_migrate_command_when_the_database_is_usable(database_url: URL) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "include.database", "migrate"],
        cwd=CHECKOUT,
        env=os.environ | {"ORDERS_DB_ADMIN_URL": database_url.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "The orders database is up to date.\n", "")
