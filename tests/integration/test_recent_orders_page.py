"""The Recent Orders page on a real database, as the role orders_ui. Airflow's own door is in the browser tests."""

from __future__ import annotations

import html
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from cryptography.fernet import Fernet
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from sqlalchemy import URL, Engine, text

from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError
from include.pages.app import PageSource, create_app
from tests.recent_orders_rows import NOON, order_row, write_contact, write_orders

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = Fernet.generate_key().decode()

MakeClient = Callable[..., httpx.Client]
Serve = Callable[[FastAPI], httpx.Client]


def let_in() -> None:
    """An access check that everybody passes."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs apps on local ports until the test is over; returns a client of each."""
    with ExitStack() as running:

        def start(app: FastAPI) -> httpx.Client:
            server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning", ws="none"))
            thread = threading.Thread(target=server.run)
            thread.start()
            running.callback(thread.join)
            running.callback(setattr, server, "should_exit", True)
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            return running.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20))

        yield start


@pytest.fixture
def make_client(database_url: URL, serve: Serve) -> MakeClient:
    """Makes a client of the page; the page reads the test's database as orders_ui, unless told otherwise."""

    def make(*, page_size: int = 60, keys: tuple[str, ...] = (KEY,), engine: Engine | None = None) -> httpx.Client:
        ui_engine = engine or make_engine(
            database_url.set(username="orders_ui"), application_name="orders_ui", statement_timeout=timedelta(seconds=1)
        )
        source = PageSource(ui_engine, page_size, list(keys))
        return serve(create_app(require_access=let_in, open_source=lambda: source))

    return make


def rows_of(answer: httpx.Response) -> list[list[str]]:
    """The texts of the table's cells, row by row."""
    assert answer.status_code == 200, answer.text
    body = answer.text.partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", body, re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)] for row in rows]


def ids_of(answer: httpx.Response) -> list[str]:
    """The Amazon order ids in the table, from top to bottom."""
    return [row[1].split()[0] for row in rows_of(answer)]


def text_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


def link_of(answer: httpx.Response, label: str) -> str | None:
    found = re.search(rf'href="([^"]*)"[^>]*>{label}</a>', answer.text)
    return html.unescape(found[1]) if found else None


def test_row_shows_all_columns_when_everything_is_known(engine: Engine, make_client: MakeClient) -> None:
    write_orders(
        engine,
        order_row(
            "114-0000000-0000001",
            purchased_at=NOON + timedelta(hours=2, minutes=5),
            status="Completed",
            grand_total_amount=Decimal("1234.5000"),
            order_notes="Shipped; Commerce order 000000042.",
            commerce_order_number="000000042",
        ),
    )
    write_contact(engine, KEY, "114-0000000-0000001", {"buyer": {"buyerName": "Zoë Ångström"}})

    answer = make_client().get("/")

    assert rows_of(answer) == [
        [
            "Nov 20, 2026, 14:05",
            "114-0000000-0000001 (opens in a new tab) Acme US Commerce 000000042",
            "Completed",
            "Zoë Ångström",
            "$1,234.50",
            "Shipped; Commerce order 000000042.",
        ]
    ]
    assert (
        'href="https://shop.example.com/admin/sales/order/view/order_id/0001" target="_blank" rel="noopener'
        in answer.text
    )
    assert re.findall(r'<th role="columnheader" scope="col".*?>(.*?)</th>', answer.text) == [
        'Purchase Date <span class="unit">(UTC)</span>',
        "Order Number",
        "Status",
        "Buyer's Name",
        "Grand Total",
        "Order Notes",
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("3980", "JPY", "¥3,980"),
        ("0", "USD", "$0.00"),
        ("19.9900", "GBP", "£19.99"),
        ("10.5", "SEK", "SEK 10.50"),
        ("1.2345", "USD", "$1.2345"),
        ("-5", "EUR", "-€5.00"),
        (None, None, "—"),
        (None, "USD", "—"),
        ("7", None, "7.00"),
    ],
)
def test_grand_total_has_sign_and_decimals_of_its_currency_when_shown(
    engine: Engine, make_client: MakeClient, amount: str | None, currency: str | None, shown: str
) -> None:
    value = None if amount is None else Decimal(amount)
    write_orders(engine, order_row("114-1", grand_total_amount=value, currency_code=currency))
    assert rows_of(make_client().get("/"))[0][4] == shown


@pytest.mark.parametrize(
    ("status", "tone"),
    [
        ("Shipped", "blue"),
        ("Completed", "blue"),
        ("Unshipped", "yellow"),
        ("Partially Shipped", "yellow"),
        ("Error", "orange"),
        ("Pending", "gray"),
        ("Pending Availability", "gray"),
        ("Canceled", "plain"),
        ("SOMETHING_NEW", "plain"),
    ],
)
def test_status_has_its_dot_when_shown(engine: Engine, make_client: MakeClient, status: str, tone: str) -> None:
    write_orders(engine, order_row("114-1", status=status))
    assert f'<span class="dot {tone}" aria-hidden="true"></span>{status}' in make_client().get("/").text


def test_markup_is_shown_as_text_when_it_is_in_the_values(engine: Engine, make_client: MakeClient) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    write_orders(
        engine,
        order_row(
            "114-1", order_notes=evil, store_name=evil, status=evil, order_url="javascript:alert(1)", is_blocked=True
        ),
    )
    write_contact(engine, KEY, "114-1", {"buyer": {"buyerName": evil}})

    answer = make_client().get("/", params={"store": evil, "status": evil})

    row = rows_of(answer)[0]
    assert (row[2], row[3], row[5]) == (evil, evil, evil)
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert "javascript:" not in answer.text


def test_buyer_is_the_recipient_when_amazon_withholds_the_buyer(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number}") for number in range(5)))
    recipient = {"deliveryAddress": {"name": "  山田 太郎 "}}
    write_contact(engine, KEY, "114-4", {"recipient": recipient, "buyer": {"buyerName": "  "}})
    write_contact(engine, KEY, "114-3", {"recipient": recipient, "buyer": {"buyerName": "Buyer"}})
    write_contact(engine, KEY, "114-2", {"recipient": {"deliveryAddress": None}, "buyer": "odd"})
    write_contact(engine, KEY, "114-1", {})

    answer = make_client().get("/")

    assert [row[3] for row in rows_of(answer)] == ["山田 太郎", "Buyer", "—", "—", "—"]
    assert 'role="status"' not in answer.text


@pytest.mark.parametrize(("keys", "names", "notice"), [
    ((), ["—", "—"], "ORDERS_PII_KEYS is missing or wrong"),
    (("no key",), ["—", "—"], "ORDERS_PII_KEYS is missing or wrong"),
    ((KEY,), ["—", "Known Buyer"], "The buyers' names of 1 order on this page cannot be decrypted"),
])  # fmt: skip
def test_name_is_a_dash_with_a_notice_when_its_key_is_missing(
    engine: Engine, make_client: MakeClient, keys: tuple[str, ...], names: list[str], notice: str
) -> None:
    write_orders(engine, order_row("114-1"), order_row("114-2"))
    write_contact(engine, KEY, "114-1", {"buyer": {"buyerName": "Known Buyer"}})
    write_contact(engine, Fernet.generate_key().decode(), "114-2", {"buyer": {"buyerName": "Lost Buyer"}})

    answer = make_client(keys=keys).get("/")

    assert [row[3] for row in rows_of(answer)] == names
    assert notice in text_of(answer.text)


def test_pages_hold_each_row_once_when_times_are_equal(engine: Engine, make_client: MakeClient) -> None:
    # Ten orders in three moments, so that every page ends among equals.
    rows = [order_row(f"114-{number:02}", purchased_at=NOON + timedelta(hours=number % 3)) for number in range(10)]
    write_orders(engine, *rows)
    expected = [
        row["amazon_order_id"]
        for row in sorted(rows, key=lambda row: (row["purchased_at"], row["amazon_order_id"]), reverse=True)
    ]
    client = make_client(page_size=3)

    answer = client.get("/")
    assert link_of(answer, "Newer") is None
    down = [ids_of(answer)]
    while (older := link_of(answer, "Older")) is not None:
        answer = client.get("/" + older)
        down.append(ids_of(answer))
    up = []
    while (newer := link_of(answer, "Newer")) is not None:
        answer = client.get("/" + newer)
        up.insert(0, ids_of(answer))

    assert [len(page) for page in down] == [3, 3, 3, 1]
    assert [amazon_order_id for page in down for amazon_order_id in page] == expected
    assert up == down[:3]


def test_paging_stays_in_place_when_newer_orders_arrive(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, *(order_row(f"114-{number}") for number in range(4)))
    client = make_client(page_size=2)
    first = client.get("/")
    write_orders(engine, order_row("114-9", purchased_at=NOON + timedelta(days=1)))

    second = client.get("/" + str(link_of(first, "Older")))

    assert ids_of(first) + ids_of(second) == ["114-3", "114-2", "114-1", "114-0"]
    assert link_of(second, "Older") is None
    assert ids_of(client.get("/" + str(link_of(second, "Newest")).lstrip("."))) == ["114-9", "114-3"]


def test_filters_narrow_and_stay_when_paging(engine: Engine, make_client: MakeClient) -> None:
    uk = {"store_name": "Acme & Söhne", "status": "Error"}
    write_orders(
        engine,
        *(order_row(f"114-{number}", **uk) for number in range(3)),
        order_row("114-5", store_name="Acme & Söhne"),
        order_row("114-6", status="Error"),
    )
    client = make_client(page_size=2)

    answer = client.get("/", params=uk | {"store": "Acme & Söhne"})
    assert ids_of(answer) == ["114-2", "114-1"]
    assert '<option selected value="Acme &amp; Söhne">' in answer.text
    assert '<option selected value="Error">' in answer.text
    assert ids_of(client.get("/" + str(link_of(answer, "Older")))) == ["114-0"]
    assert ids_of(client.get("/", params={"status": "Error"})) == ["114-6", "114-2"]


def test_message_names_the_stores_when_orders_cannot_be_imported(engine: Engine, make_client: MakeClient) -> None:
    held = {"status": "Error", "is_blocked": True}
    write_orders(
        engine,
        order_row("114-1", **held),
        order_row("114-2", **held),
        order_row("114-3", store_name="Acme UK", **held),
        order_row("114-4", store_name="Acme JP"),
    )
    client = make_client()

    answer = client.get("/", params={"store": "Acme JP"})

    alert = answer.text.partition('role="alert"')[2].partition("</section>")[0]
    assert "Orders of Acme UK (1), Acme US (2) cannot be imported." in text_of(alert)
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', alert)]
    assert [ids_of(client.get("/" + link)) for link in links] == [["114-3"], ["114-2", "114-1"]]

    with engine.begin() as connection:
        connection.execute(text("update reporting.recent_orders set is_blocked = false, status = 'Unshipped'"))
    assert 'role="alert"' not in client.get("/").text


def test_newest_change_is_told_when_rows_were_loaded_at_different_times(
    engine: Engine, make_client: MakeClient
) -> None:
    write_orders(engine, order_row("114-1"), order_row("114-2", loaded_at=NOON + timedelta(minutes=7)))
    assert "Newest change loaded Nov 20, 2026, 12:07 UTC" in text_of(make_client().get("/").text)


def test_empty_table_says_what_to_do_when_nothing_was_published(make_client: MakeClient) -> None:
    answer = make_client().get("/")
    assert answer.status_code == 200
    assert "No orders yet Orders appear here after the DAGs amazon_orders_to_commerce" in text_of(answer.text)
    assert "<table" not in answer.text


def test_empty_page_says_why_when_filter_or_cursor_leave_nothing(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    client = make_client()
    assert "No order fits the filter" in client.get("/", params={"status": "Canceled"}).text
    nothing_older = client.get("/", params={"before": "2020-01-01T00:00:00+00:00~114-1"})
    assert "No more orders in this direction" in nothing_older.text
    assert link_of(nothing_older, "Newest") == "."


@pytest.mark.parametrize("parameters", [
    {"before": "nonsense"},
    {"after": "2026-11-20T12:00:00~114-1"},
    {"before": "2026-11-20T12:00:00+00:00"},
    {"before": "2026-11-20T12:00:00+00:00~a\x00b"},
    {"store": "a\x00b"},
    {"status": "x" * 201},
])  # fmt: skip
def test_link_is_refused_with_a_page_when_it_was_changed(make_client: MakeClient, parameters: dict[str, str]) -> None:
    answer = make_client().get("/", params=parameters)
    assert answer.status_code == 400
    assert "This link does not work" in answer.text


def test_answer_is_an_error_page_when_the_database_is_down(make_client: MakeClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = URL.create(
            "postgresql+psycopg", "orders_ui", host="127.0.0.1", port=unused.getsockname()[1], database="orders"
        )
        answer = make_client(engine=make_engine(url, application_name="tests")).get("/")
    assert answer.status_code == 503
    assert "The orders database does not answer" in answer.text
    assert "no order" not in answer.text.lower()
    assert answer.headers["cache-control"] == "no-store"


def test_answer_is_an_error_page_when_the_database_is_too_slow(admin_engine: Engine, make_client: MakeClient) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text("lock table reporting.recent_orders in access exclusive mode"))
        began = time.monotonic()
        answer = make_client().get("/")
    assert answer.status_code == 503
    assert "The orders database is too slow" in answer.text
    assert time.monotonic() - began < 5


def test_answer_is_an_error_page_when_the_database_is_not_migrated(
    admin_engine: Engine, make_client: MakeClient
) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text("drop schema reporting cascade"))
    answer = make_client().get("/")
    assert answer.status_code == 503
    assert "The orders database is not ready" in answer.text


def test_page_recovers_without_restart_when_a_setting_was_missing(engine: Engine, serve: Serve) -> None:
    write_orders(engine, order_row("114-1"))
    outcomes: list[Any] = [MisconfiguredError("There is no Airflow connection 'orders_db_ui'."), engine, engine]

    def open_source() -> PageSource:
        outcome = outcomes.pop(0)
        if isinstance(outcome, MisconfiguredError):
            raise outcome
        return PageSource(outcome, 60, [KEY])

    client = serve(create_app(require_access=let_in, open_source=open_source))
    answer = client.get("/")
    assert answer.status_code == 503
    assert "There is no Airflow connection &#39;orders_db_ui&#39;." in answer.text
    assert ids_of(client.get("/")) == ["114-1"]
    assert ids_of(client.get("/")) == ["114-1"]
    assert len(outcomes) == 1, "the source is opened once"


def test_answers_carry_the_protective_headers_when_sent(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    client = make_client()
    for path in ("/", "/style.css", "/frame.js", "/?before=nonsense", "/nothing-here"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy


def test_page_has_nothing_inline_when_the_policy_forbids_it(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1", is_blocked=True))
    page = make_client().get("/").text
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", page) == []


def test_every_route_refuses_when_the_access_check_does(serve: Serve) -> None:
    def refuse() -> None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})

    def not_asked() -> PageSource:
        raise AssertionError("the database must not be asked for someone who is refused")

    app = create_app(require_access=refuse, open_source=not_asked)
    client = serve(app)
    answers = {path: client.request(method, path) for method, path in routes_of(app)}
    assert {"/", "/style.css", "/frame.js"} == set(answers)
    for path, answer in answers.items():
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "You are not signed in" in answer.text


def test_app_describes_itself_to_nobody_when_asked(make_client: MakeClient) -> None:
    client = make_client()
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_plugin_refuses_everybody_when_the_access_check_cannot_be_imported(tmp_path: Path) -> None:
    code = """
import asyncio, sys
sys.modules["airflow.api_fastapi.core_api.security"] = None  # as if a new Airflow had moved it
from airflow.plugins_manager import get_fastapi_plugins
import httpx
(mounted,) = [entry for entry in get_fastapi_plugins()[0] if entry["url_prefix"] == "/recent-orders"]
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(mounted["app"]), base_url="http://test") as client:
        for path in ("/", "/style.css", "/frame.js"):
            print("answer", path, (await client.get(path)).status_code)
asyncio.run(ask())
"""
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(CHECKOUT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("answer")]
    assert answers == ["answer / 503", "answer /style.css 503", "answer /frame.js 503"], done.stderr


def test_log_holds_no_personal_data_when_any_route_is_asked(
    engine: Engine, admin_engine: Engine, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    marker = "Marker-Buyer-7391"
    write_orders(engine, order_row("114-1"), order_row("114-2"))
    write_contact(engine, KEY, "114-1", {"buyer": {"buyerName": marker}})
    write_contact(engine, Fernet.generate_key().decode(), "114-2", {"buyer": {"buyerName": marker}})
    client = make_client()
    with caplog.at_level(logging.DEBUG):
        assert marker in client.get("/").text
        for path in ("/style.css", "/frame.js", "/nothing-here"):
            client.get(path)
        client.get("/", params={"before": "nonsense"})
        client.get("/", params={"before": f"{quote(NOON.isoformat())}~114-2"})
        with admin_engine.begin() as connection:
            connection.execute(text("drop table pii.order_contacts"))
        assert client.get("/").status_code == 503
    assert "recent_orders: the orders database failed: UndefinedTable" in caplog.text
    assert marker not in caplog.text
    assert KEY not in caplog.text


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route; the app may have no other kind of route, which would not be guarded."""
    assert all(isinstance(route, APIRoute) for route in app.routes)
    return [(method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods]
