"""What the Recent Orders page refuses, survives and keeps to itself. Airflow's own door is in the browser tests."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI, HTTPException
from sqlalchemy import URL, Engine, text

from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError
from include.pages.shell.app import create_app
from include.pages.shell.navigation import PACKAGES
from include.pages.shell.page import PageSource
from tests.support.recent_orders_answers import (
    KEY,
    SIGN_IN,
    MakeClient,
    Serve,
    ids_of,
    let_in,
    link_of,
    routes_of,
    rows_of,
    text_of,
)
from tests.support.recent_orders_rows import NOON, order_row, write_contact, write_orders

CHECKOUT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize("parameters", [
    {"before": "nonsense"},
    {"after": "2026-11-20T12:00:00~114-1"},
    {"before": "2026-11-20T12:00:00+00:00"},
    {"before": "2026-11-20T12:00:00+00:00~a\x00b"},
    {"store": "a\x00b"},
    {"status": "x" * 201},
])  # fmt: skip
def test_link_is_refused_with_a_reason_when_it_was_changed(make_client: MakeClient, parameters: dict[str, str]) -> None:
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
    assert "The orders database is not available" in answer.text
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

    client = serve(create_app(require_access=let_in, open_source=open_source, sign_in_url=SIGN_IN))
    answer = client.get("/")
    assert answer.status_code == 503
    assert "There is no Airflow connection &#39;orders_db_ui&#39;." in answer.text
    assert ids_of(client.get("/")) == ["114-1"]
    assert ids_of(client.get("/")) == ["114-1"]
    assert len(outcomes) == 1, "the source is opened once"


def test_answers_carry_the_protective_headers_when_sent(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    client = make_client()
    for path in ("/", "/?before=nonsense", "/nothing-here"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy


def test_style_and_script_are_the_policys_own_when_inline(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1", is_blocked=True))
    client = make_client()
    for path in ("/", "/?before=nonsense"):
        answer = client.get(path)
        inline = re.findall(r"<(style|script)>(.*?)</\1>", answer.text, re.DOTALL)
        assert [kind for kind, _ in inline] == ["style", "script"]
        for kind, content in inline:
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}';" in answer.headers["content-security-policy"]
        markup = re.sub(r"<(style|script)>.*?</\1>", "", answer.text, flags=re.DOTALL)
        assert re.findall(r"<script|<style|\sstyle=|\son[a-z]+=", markup) == []


@pytest.mark.parametrize(("status", "title", "link"), [
    (401, "You are not signed in", "Sign in to Airflow"),
    (403, "You do not have access to orders", "Sign in again"),
])  # fmt: skip
def test_every_route_refuses_with_a_way_to_sign_in_when_the_access_check_does(
    serve: Serve, status: int, title: str, link: str
) -> None:
    def refuse() -> None:
        raise HTTPException(status, headers={"WWW-Authenticate": "Bearer"})

    app = create_app(
        require_access=refuse,
        open_source=not_asked,
        sign_in_url=SIGN_IN,
        packages=[*PACKAGES, "tests.support.stock_page"],
    )
    client = serve(app)
    answers = {path: client.request(method, path) for method, path in routes_of(app)}
    assert set(answers) == {"/", "/stock/", "/stock/{sku}"}
    for path, answer in answers.items():
        assert answer.status_code == status, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert title in answer.text
        assert link_of(answer, link) == SIGN_IN
        assert "<style>" in answer.text


def test_new_page_is_served_guarded_and_in_the_navigation_when_its_package_is_listed(
    engine: Engine, serve: Serve
) -> None:
    packages = [*PACKAGES, "tests.support.stock_page"]
    source = PageSource(engine, 60, [KEY])
    app = create_app(require_access=let_in, open_source=lambda: source, sign_in_url=SIGN_IN, packages=packages)
    outer = FastAPI(root_path="/airflow")
    outer.mount("/recent-orders", app)
    client = serve(outer)

    for path, open_page in (("/", "Recent Orders"), ("/stock/", "Stock"), ("/stock/CUP-1", "Stock")):
        answer = client.get(f"/airflow/recent-orders{path}")
        assert answer.status_code == 200, path
        navigation = answer.text.partition('<nav class="pages"')[2].partition("</nav>")[0]
        assert re.findall(r'href="(.*?)"(.*?)>(.*?)</a>', navigation) == [
            (address, ' aria-current="page"' if title == open_page else "", title)
            for title, address in (
                ("Recent Orders", "/airflow/recent-orders/"),
                ("Stock", "/airflow/recent-orders/stock/"),
            )
        ]
    assert "CUP-1 in Acme US" in text_of(client.get("/airflow/recent-orders/stock/CUP-1?store=Acme+US").text)


def test_navigation_is_left_out_when_there_is_one_page(make_client: MakeClient) -> None:
    assert '<nav class="pages"' not in make_client().get("/").text


def not_asked() -> PageSource:
    raise AssertionError("the database must not be asked for someone who is refused")


def test_app_has_no_description_of_itself_when_asked(make_client: MakeClient) -> None:
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
        for path in ("/", "/nothing-here"):
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
    assert answers == ["answer / 503", "answer /nothing-here 404"], done.stderr


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
        client.get("/nothing-here")
        client.get("/", params={"before": "nonsense"})
        client.get("/", params={"before": f"{quote(NOON.isoformat())}~114-2"})
        with admin_engine.begin() as connection:
            connection.execute(text("drop table pii.order_contacts"))
        assert client.get("/").status_code == 503
    assert "pages: the orders database failed: UndefinedTable" in caplog.text
    assert marker not in caplog.text
    assert KEY not in caplog.text
