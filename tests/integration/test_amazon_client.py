"""The Amazon client against the local Amazon with every fault, and against a server that answers what none should."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from include.adapters.amazon.requests import search_query
from include.adapters.amazon.split import split_order
from include.adapters.api_calls import DatabaseCallRecorder
from include.database.engine import make_engine
from include.database.tables import api_calls, rate_limits
from include.domain.amazon_packages import AmazonOrderState, AmazonPackage
from include.domain.errors import NotFoundError, OutcomeUnknownError, RefusedError, ThrottledError, UnavailableError
from local.sandbox.faults import FaultKind
from tests.support.amazon_account import MARKETPLACE, NO_ANSWER, ORDER_ID, Account, account, package
from tests.support.odd_server import Odd, odd
from tests.support.waiting import patience, wait_until

__all__ = ["account", "odd"]  # fixtures: the tests name them as arguments


# Reading


def test_every_order_is_read_once_when_there_are_three_pages(account: Account) -> None:
    query = account.query(page_size=2)
    with account.client() as client:
        pages = [client.search_orders(query, None)]
        while pages[-1].next_token is not None:
            pages.append(client.search_orders(query, pages[-1].next_token))
    assert [len(page.orders) for page in pages] == [2, 2, 1]
    ids = [order["orderId"] for page in pages for order in page.orders]
    assert sorted(ids) == [f"111-0000000-{number:07}" for number in range(1, 6)]
    assert {page.updated_before for page in pages} == {datetime.fromisoformat(query["lastUpdatedBefore"])}
    assert all(page.request_id for page in pages)
    assert account.sent("token") == 1
    landed = split_order(pages[0].orders[0])
    assert landed.findings == []
    assert landed.payload["proceeds"]["grandTotal"]["amount"] == "10.50"
    value = pages[0].orders[0]["orderItems"][0]["measurement"]["value"]
    assert isinstance(value, Decimal) and value == Decimal("1.5")


def test_page_has_amazons_time_when_amazons_clock_is_ahead(account: Account) -> None:
    account.sandbox.clock.advance(timedelta(days=3))
    with account.client() as client:
        page = client.search_orders(account.query(), None)
        assert abs(page.fetched_at - account.sandbox.clock.now()) < timedelta(minutes=1)
        assert page.orders == []


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_search_is_unavailable_when_there_is_no_usable_answer(account: Account, kind: FaultKind) -> None:
    account.script("searchOrders", kind)
    with account.client(timeouts=patience(kind)) as client:
        with pytest.raises(UnavailableError, match=r"searchOrders.*Resolution:") as caught:
            client.search_orders(account.query(), None)
        assert not isinstance(caught.value, OutcomeUnknownError | ThrottledError)
        assert account.sent("searchOrders") == 1
        assert len(client.search_orders(account.query(), None).orders) == 5


@pytest.mark.parametrize(("told", "seconds"), [(7, 7), (86_400, 3600), (0, 1), (None, 179)])
def test_search_waits_as_long_as_amazon_says_when_amazon_throttles(
    account: Account, told: int | None, seconds: int
) -> None:
    account.script("searchOrders", "throttle", retry_after=told)
    with account.client() as client:
        with pytest.raises(ThrottledError) as caught:
            client.search_orders(account.query(), None)
        assert caught.value.retry_after == timedelta(seconds=seconds)
        assert account.calls[-1].is_throttled
        with pytest.raises(ThrottledError, match="our share"):
            client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 1


def test_search_sends_nothing_when_our_share_is_used_up(account: Account) -> None:
    with account.client() as client:
        for _ in range(20):
            client.search_orders(account.query(), None)
        with pytest.raises(ThrottledError, match="our share"):
            client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 20


def test_rate_is_stored_when_amazon_reports_it(account: Account) -> None:
    with account.client() as client:
        client.search_orders(account.query(), None)
    with account.engine.connect() as connection:
        row = connection.execute(select(rate_limits)).one()
    assert (row.operation, row.rate_per_second, row.burst) == ("searchOrders", Decimal("0.0056"), 20)
    assert account.calls[-1].rate_limit == Decimal("0.0056")


def test_search_is_refused_when_amazon_rejects_the_token_of_a_page(account: Account) -> None:
    with account.client() as client, pytest.raises(RefusedError) as caught:
        client.search_orders(account.query(), "no/such+token==")
    assert caught.value.code == "InvalidInput"
    assert caught.value.reason


def test_search_is_refused_when_the_window_ends_too_late(account: Account) -> None:
    now = account.sandbox.clock.now()
    with account.client() as client, pytest.raises(RefusedError) as caught:
        client.search_orders(search_query([MARKETPLACE], now - timedelta(days=1), now, ["FULFILLMENT"], 10), None)
    assert caught.value.code == "InvalidInput"


def test_order_is_read_when_it_exists(account: Account) -> None:
    with account.client() as client:
        order = client.get_order(ORDER_ID)
    assert order == AmazonOrderState(ORDER_ID, "UNSHIPPED", left={"90000000001": 2})


@pytest.mark.parametrize("order_id", ["111-9999999-9999999", "../orders", "a/b?c"])
def test_order_is_not_found_when_there_is_none(account: Account, order_id: str) -> None:
    with account.client() as client, pytest.raises(NotFoundError):
        client.get_order(order_id)


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_order_is_unavailable_when_there_is_no_usable_answer(account: Account, kind: FaultKind) -> None:
    account.script("getOrder", kind)
    with account.client(timeouts=patience(kind)) as client:
        with pytest.raises(UnavailableError, match=ORDER_ID) as caught:
            client.get_order(ORDER_ID)
        assert not isinstance(caught.value, OutcomeUnknownError)


# Writing


def test_package_is_shown_once_when_amazon_takes_its_confirmation_twice(account: Account) -> None:
    body = package()
    with account.client() as client:
        client.confirm_shipment(ORDER_ID, body)
        client.confirm_shipment(ORDER_ID, body)
        account.sandbox.clock.advance(timedelta(minutes=3))
        order = client.get_order(ORDER_ID)
    details = body["packageDetail"]
    shipped = {item["orderItemId"]: item["quantity"] for item in details["orderItems"]}
    assert order.packages == (AmazonPackage("1", details["trackingNumber"], details["carrierCode"], shipped),)
    assert order.amazon_status == "PARTIALLY_SHIPPED"


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_confirmation_is_in_doubt_and_sent_once_when_its_outcome_is_unknown(account: Account, kind: FaultKind) -> None:
    account.script("confirmShipment", kind)
    with account.client(timeouts=patience(kind)) as client, pytest.raises(OutcomeUnknownError, match=ORDER_ID):
        client.confirm_shipment(ORDER_ID, package())
    is_done = kind in ("lost_reply", "broken_json", "slow")
    wait_until(
        lambda: bool(account.sandbox.amazon.confirmations) == is_done, "the work that the client did not wait for"
    )
    assert account.sent("confirmShipment") == 1
    assert len(account.sandbox.amazon.confirmations) == (1 if is_done else 0)


def test_confirmation_is_not_in_doubt_when_amazon_throttles(account: Account) -> None:
    account.script("confirmShipment", "throttle")
    with account.client() as client, pytest.raises(ThrottledError) as caught:
        client.confirm_shipment(ORDER_ID, package())
    assert not isinstance(caught.value, OutcomeUnknownError)


def test_confirmation_is_sent_once_more_when_the_token_has_expired(account: Account) -> None:
    account.script("confirmShipment", "expired_token")
    with account.client() as client:
        client.confirm_shipment(ORDER_ID, package())
    assert len(account.sandbox.amazon.confirmations) == 1
    assert account.sent("token") == 2


def test_error_gives_the_reason_when_amazon_refuses_a_confirmation(account: Account) -> None:
    with account.client() as client, pytest.raises(RefusedError, match="left to ship") as caught:
        client.confirm_shipment(ORDER_ID, package(quantity=99))
    assert caught.value.code == "InvalidInput"


def test_confirmation_fails_as_not_found_when_the_order_is_unknown(account: Account) -> None:
    with account.client() as client, pytest.raises(NotFoundError):
        client.confirm_shipment("111-9999999-9999999", package())


def test_confirmation_is_not_in_doubt_when_nobody_listens(account: Account) -> None:
    nobody = account.client(endpoint="http://127.0.0.1:9")
    with nobody as client, pytest.raises(UnavailableError, match="not reached") as caught:
        client.confirm_shipment(ORDER_ID, package())
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert account.calls[-1].status_code is None


# Records and logs


def test_every_call_has_a_row_when_calls_are_recorded_in_the_database(account: Account) -> None:
    with account.client(record=DatabaseCallRecorder(account.engine)) as client:
        client.search_orders(account.query(), None)
        account.script("getOrder", "throttle")
        with pytest.raises(ThrottledError):
            client.get_order(ORDER_ID)
    with account.engine.connect() as connection:
        rows = connection.execute(select(api_calls).order_by(api_calls.c.api_call_id)).all()
    assert [(row.operation, row.status_code, row.is_throttled) for row in rows] == [
        ("token", 200, False),
        ("searchOrders", 200, False),
        ("getOrder", 429, True),
    ]
    assert {(row.system_code, row.connection) for row in rows} == {("amazon", "amazon_sp_api")}
    assert all(row.request_id and row.duration_ms >= 0 for row in rows)
    assert abs(rows[0].called_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_calls_still_answer_when_the_database_is_gone(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    gone = make_engine("postgresql+psycopg://nobody@127.0.0.1:9/none", application_name="tests")
    with account.client(record=DatabaseCallRecorder(gone)) as client:
        assert client.get_order(ORDER_ID).amazon_order_id == ORDER_ID
    assert "getOrder was not recorded" in caplog.text


def test_logs_contain_no_secret_and_no_person_when_everything_is_logged(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    # Our own loggers at their finest; httpx logs addresses at INFO, which the task log does not show.
    caplog.set_level(logging.DEBUG, logger="include")
    with account.client() as client:
        page = client.search_orders(account.query(page_size=2), None)
        client.get_order(ORDER_ID)
        client.confirm_shipment(ORDER_ID, package())
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("include."))
    assert f"amazon getOrder {ORDER_ID} status=200 request_id=" in ours
    assert "amazon searchOrders status=200" in ours
    for secret in ("lanted", "Atza", "lastUpdatedAfter", "1Z999", "http"):
        assert secret not in ours
    assert "lanted" not in repr(page)


# Answers that are not data, from a server that says anything


@pytest.mark.parametrize(
    "body",
    [
        b'{"orders": null}',
        b"{}",
        b"[]",
        b'"x"',
        b'{"orders": {}}',
        b'{"orders": [], "pagination": 5}',
        b'{"orders": [], "pagination": {"nextToken": 5}}',
    ],
)
def test_search_is_unavailable_when_the_answer_lacks_the_list(account: Account, odd: Odd, body: bytes) -> None:
    odd.replies = [(200, {}, body)]
    with account.client(endpoint=odd.url) as client, pytest.raises(UnavailableError, match="the answer lacks"):
        client.search_orders(account.query(), None)


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"order": []}', b"null", b'{"order": {"orderId": 7}}', b'{"order": {"orderId": "A", "packages": [7]}}'],
)
def test_order_is_unavailable_when_the_answer_lacks_it(account: Account, odd: Odd, body: bytes) -> None:
    odd.replies = [(200, {}, body)]
    with account.client(endpoint=odd.url) as client, pytest.raises(UnavailableError, match="the answer lacks"):
        client.get_order(ORDER_ID)
