"""Recent Orders in a real Airflow: who is let in, and what people see and can click, with the system's Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from include.database.engine import make_engine
from include.outbox.dag_runs import DagRunReport, TaskInstance
from include.pages.shell.app import create_app
from include.pages.shell.page import PageSource
from local import postgres
from tests.support.airflow_server import BASE_PATH, PASSWORD, AirflowServer, running_airflow
from tests.support.installation import copied_database
from tests.support.recent_orders_rows import NOON, order_row, write_contact, write_orders
from tests.support.warm_airflow import WarmAirflow

KEY = Fernet.generate_key().decode()
PAGE_SIZE = 12
REASON = "The secret of acme-eu is wrong. Resolution: set it in the connection amazon_sp_api_eu."
BUYER = "Marker-Buyer-5520"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
expect.set_options(timeout=30_000)  # the first page of an Airflow on a busy machine

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def orders_url(server: postgres.ServerAddress, template: str) -> Iterator[URL]:
    """An orders database with three pages of orders."""
    name = "recent_orders_browser"
    address = URL.create(
        "postgresql+psycopg", username=postgres.SUPERUSER, database=name, query={"host": str(server.socket_dir)}
    )
    admin = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {template}"))
    engine = make_engine(address, application_name="tests")
    statuses = ("Unshipped", "Completed", "Shipped", "Pending", "Partially Shipped", "Canceled")
    write_orders(
        engine,
        *(
            order_row(
                f"114-0000000-{number:07}",
                purchased_at=NOON + timedelta(minutes=37 * number),
                status=statuses[number % len(statuses)],
                commerce_order_number=f"AMZ-114-0000000-{number:07}",
                grand_total_amount=None if statuses[number % len(statuses)] == "Pending" else Decimal(number) + 20,
            )
            for number in range(29)
        ),
        order_row(
            "250-0000000-0000001",
            store_name="Acme JP",
            purchased_at=NOON + timedelta(days=2),
            status="Error",
            grand_total_amount=Decimal("3980"),
            currency_code="JPY",
            is_blocked=True,
            blocker_codes=["missing_product"],
            order_notes="The shop has no product LAMP-BLUE-2. Create the product, or map the SKU in stores.yaml.",
        ),
    )
    write_contact(engine, KEY, "250-0000000-0000001", {"buyer": {"buyerName": BUYER}})
    begun = datetime.now(UTC) - timedelta(minutes=3)
    report = DagRunReport(engine, "amazon_orders_to_commerce", "run", begun + timedelta(minutes=5))
    for number, reason in enumerate((REASON, "x" * 500)):
        task = TaskInstance(f"task_{number}", f"task_{number}", None)
        report.begin_task(task, begun, timedelta(minutes=30))
        report.end_task(task, begun, reason=reason, pause=timedelta(0))
    report.end(begun + timedelta(minutes=1), is_success=False)
    yield address
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture(scope="module")
def airflow(
    warm_airflow: WarmAirflow, airflow_template: str, server: postgres.ServerAddress, orders_url: URL
) -> Iterator[AirflowServer]:
    """Airflow's API server with the plugin; the page finds that database by a connection made in Airflow itself."""
    variables = {"ORDERS_PII_KEYS": KEY, "ORDERS_RECENT_ORDERS_PAGE_SIZE": str(PAGE_SIZE)}
    with (
        copied_database(server, airflow_template, "airflow_browser") as metadata,
        running_airflow(warm_airflow, metadata, variables) as running,
    ):
        httpx.post(
            f"{running.base_url}/api/v2/connections",
            headers={"Authorization": f"Bearer {running.token('admin')}"},
            json={
                "connection_id": "orders_db_ui",
                "conn_type": "postgres",
                "host": orders_url.query["host"],
                "login": "orders_ui",
                "schema": orders_url.database,
            },
            trust_env=False,
            timeout=30,
        ).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; nothing is downloaded."""
    assert CHROMIUM, "No Chromium is installed. Resolution: apt-get install chromium."
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser, airflow: AirflowServer) -> Iterator[BrowserContext]:
    """A browser of somebody who is signed in as viewer."""
    fresh = browser.new_context(viewport={"width": 1400, "height": 1000})
    fresh.set_default_timeout(30_000)
    page = fresh.new_page()
    page.goto(f"{airflow.base_url}/")
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    page.get_by_role("link", name="Recent Orders").or_(page.get_by_text("Recent Orders")).first.wait_for()
    yield fresh
    fresh.close()


def page_paths() -> list[str]:
    """The paths of all routes of the page."""

    def never() -> PageSource:
        raise AssertionError("only the routes are looked at")

    app = create_app(require_access=lambda: None, open_source=never, sign_in_url="/")
    return [route.path for route in app.routes if isinstance(route, APIRoute)]


def test_every_route_refuses_when_nobody_is_signed_in(airflow: AirflowServer) -> None:
    assert "/" in page_paths()
    with httpx.Client(base_url=f"{airflow.base_url}/recent-orders", trust_env=False, timeout=30) as client:
        for path in page_paths():
            for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Cookie": "_token=nonsense"}):
                answer = client.get(path, headers=headers)
                assert answer.status_code in (401, 403), (path, headers)
                assert BUYER not in answer.text
                assert "114-0000000" not in answer.text
                assert f'href="{BASE_PATH}/api/v2/auth/login?next=' in answer.text
        for path in ("/docs", "/openapi.json", "/redoc"):
            assert client.get(path).status_code == 404


def test_every_route_answers_when_a_viewer_asks(airflow: AirflowServer) -> None:
    with httpx.Client(base_url=f"{airflow.base_url}/recent-orders", trust_env=False, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {airflow.token('viewer')}"
        answers = {path: client.get(path) for path in page_paths()}
    assert {answer.status_code for answer in answers.values()} == {200}
    assert BUYER in answers["/"].text
    for path, answer in answers.items():
        assert answer.headers["cache-control"] == "no-store", path
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_server_log_holds_no_personal_data_when_pages_were_shown(airflow: AirflowServer) -> None:
    headers = {"Authorization": f"Bearer {airflow.token('admin')}"}
    answer = httpx.get(f"{airflow.base_url}/recent-orders/", headers=headers, trust_env=False, timeout=30)
    assert BUYER in answer.text
    log = airflow.log.read_text(encoding="utf-8")
    assert "/recent-orders/" in log
    assert BUYER not in log
    assert KEY not in log


def open_from_navigation(context: BrowserContext) -> Page:
    page = context.pages[0]
    page.get_by_role("link", name="Recent Orders").or_(page.get_by_text("Recent Orders")).first.click()
    page.wait_for_url("**/plugin/recent-orders**")
    return page


def test_navigation_opens_the_table_and_pages_when_signed_in(context: BrowserContext, tmp_path: Path) -> None:
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page = open_from_navigation(context)
    frame = page.frame_locator("iframe[title='Recent Orders']")

    expect(frame.get_by_role("heading", name="Recent Orders")).to_be_visible()
    expect(frame.locator("tbody tr")).to_have_count(PAGE_SIZE)
    first = frame.locator("tbody tr").first
    expect(first).to_contain_text("Nov 22, 2026, 12:00")
    expect(first).to_contain_text(BUYER)
    expect(first).to_contain_text("¥3,980")
    failed, blocked = (frame.get_by_role("alert").nth(place) for place in (0, 1))
    expect(failed).to_contain_text("The last order sync failed on ")
    expect(failed.get_by_role("listitem").first).to_have_text(f"task_0: {REASON}")
    expect(frame.locator(".facts")).to_contain_text("Next run")
    expect(blocked).to_contain_text("Some orders cannot be imported: Acme JP (1).")
    # The page's own policy allows its style.
    assert first.locator("td.amount").evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    picture = tmp_path / "recent-orders.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 20_000

    newest = frame.locator("tbody tr td.number a").first.inner_text()
    frame.get_by_role("link", name="Older").click()
    expect(frame.locator("tbody tr").first).to_contain_text("114-0000000-0000017")
    frame.get_by_role("link", name="Older").click()
    expect(frame.locator("tbody tr")).to_have_count(30 - 2 * PAGE_SIZE)
    expect(frame.get_by_role("link", name="Older")).to_have_count(0)
    # Airflow keeps the frame's place in its own address, base path included.
    page.wait_for_url(f"**/plugin/recent-orders{BASE_PATH}/recent-orders/?before=**")
    # The second click must not meet the first page again: wait for what the first one opens.
    for expected in ("114-0000000-0000017", newest):
        frame.get_by_role("link", name="Newer").click()
        expect(frame.locator("tbody tr").first).to_contain_text(expected)
    expect(frame.get_by_role("link", name="Newest")).to_have_count(0)

    blocked.get_by_role("link").click()
    expect(frame.locator("tbody tr")).to_have_count(1)
    frame.get_by_label("Status").select_option("Canceled")
    frame.get_by_role("button", name="Apply").click()
    expect(frame.get_by_text("No orders match the filter")).to_be_visible()
    frame.get_by_role("link", name="Clear").click()
    expect(frame.locator("tbody tr")).to_have_count(PAGE_SIZE)
    assert problems == []


def test_refusal_is_readable_and_leads_through_sign_in_to_the_page_when_signed_out(
    browser: Browser, airflow: AirflowServer, tmp_path: Path
) -> None:
    with browser.new_context(viewport={"width": 1000, "height": 700}) as fresh:
        fresh.set_default_timeout(30_000)
        page = fresh.new_page()
        page.goto(f"{airflow.base_url}/recent-orders/")
        expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        expect(page.locator(".message")).to_have_css("border-left-width", "4px")
        page.screenshot(path=tmp_path / "signed-out.png")
        page.get_by_role("link", name="Sign in to Airflow").click()
        page.locator("input[name=username]").fill("viewer")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("button[type=submit]").click()
        page.wait_for_url(f"**{BASE_PATH}/plugin/recent-orders")
        frame = page.frame_locator("iframe[title='Recent Orders']")
        expect(frame.locator("tbody tr")).to_have_count(PAGE_SIZE)


def test_sign_in_leaves_the_frame_when_the_session_has_ended(context: BrowserContext, airflow: AirflowServer) -> None:
    page = open_from_navigation(context)
    frame = page.frame_locator("iframe[title='Recent Orders']")
    expect(frame.locator("tbody tr")).to_have_count(PAGE_SIZE)
    context.clear_cookies()
    frame.get_by_role("link", name="Older").click()
    frame.get_by_role("link", name="Sign in to Airflow").click()
    page.wait_for_url(f"**{BASE_PATH}/auth/login**")
    expect(page.locator("input[name=username]")).to_be_visible()


def test_order_number_opens_a_new_tab_when_clicked_in_the_frame(
    context: BrowserContext, airflow: AirflowServer, orders_url: URL
) -> None:
    # Any page that this machine serves itself will do.
    address = f"{airflow.base_url}/api/v2/version"
    with make_engine(orders_url, application_name="tests").begin() as connection:
        connection.execute(
            text("update reporting.recent_orders set order_url = :url where amazon_order_id = '250-0000000-0000001'"),
            {"url": address},
        )
    page = open_from_navigation(context)
    frame = page.frame_locator("iframe[title='Recent Orders']")
    link = frame.get_by_role("link", name="250-0000000-0000001")
    assert link.get_attribute("href") == address
    with context.expect_page() as opened:
        link.click()
    assert opened.value.url == address
    assert opened.value.evaluate("window.opener") is None
    assert "/plugin/recent-orders" in page.url


def test_page_follows_airflow_when_its_mode_is_dark(context: BrowserContext, tmp_path: Path) -> None:
    page = open_from_navigation(context)
    frame = page.frame_locator("iframe[title='Recent Orders']")
    for mode in ("dark", "light"):
        page.evaluate(
            "mode => { document.documentElement.classList.remove('dark', 'light');"
            " document.documentElement.classList.add(mode) }",
            mode,
        )
        expect(frame.locator(f"html[data-theme={mode}]")).to_have_count(1)
        expected = {"dark": "rgb(17, 17, 17)", "light": "rgb(255, 255, 255)"}[mode]
        expect(frame.locator("body")).to_have_css("background-color", expected)
        page.screenshot(path=tmp_path / f"{mode}.png")


def test_page_needs_no_sideways_scrolling_when_the_window_is_narrow(
    context: BrowserContext, airflow: AirflowServer, tmp_path: Path
) -> None:
    page = context.pages[0]
    for width in (360, 500, 1000, 1110, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{airflow.base_url}/recent-orders/")
        expect(page.locator("tbody tr")).to_have_count(PAGE_SIZE)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"{width}.png")
