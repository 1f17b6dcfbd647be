"""The Amazon client against the local Amazon with every fault, and against a server that answers what none should."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine, select

from include.adapters.amazon_client import AmazonClient
from include.adapters.amazon_mapping import IMPORT_DATA, search_query, shipment_confirmation, split_order
from include.adapters.api_calls import ApiCall, CallRecorder, DatabaseCallRecorder
from include.adapters.http import Answer, Timeouts, check_base_url, exchange, open_client
from include.adapters.rate_limits import RateLimiter
from include.database.engine import make_engine
from include.database.tables import api_calls, rate_limits
from include.domain.errors import (
    MisconfiguredError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.seeds import AmazonApplication, AmazonOrderSeed, CommerceSeed, Scenario
from include.sandbox.servers import Sandbox

MARKETPLACE = "ATVPDKIKX0DER"
ORDER_ID = "111-0000000-0000001"
NO_ANSWER: list[FaultKind] = ["html_500", "empty_500", "html_503", "dropped", "lost_reply", "broken_json", "slow"]
QUICK = Timeouts(connect=2, read=0.5)


def order_document(number: int, created: datetime) -> dict[str, Any]:
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    money = {"amount": "10.50", "currencyCode": "USD"}
    return {
        "orderId": f"111-0000000-{number:07}",
        "createdTime": moment,
        "lastUpdatedTime": moment,
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": MARKETPLACE, "marketplaceName": "Amazon.com"},
        "buyer": {"buyerName": "Planted Person", "buyerEmail": "planted@marketplace.amazon.com"},
        "recipient": {"deliveryAddress": {"name": "Planted Person", "addressLine1": "1 Planted St"}},
        "proceeds": {"grandTotal": money},
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"},
        "orderItems": [
            {
                "orderItemId": f"9000000000{number}",
                "quantityOrdered": 2,
                "measurement": {"unit": "COUNT", "value": 1.5},
                "product": {"asin": "B000000000", "title": "Thing", "sellerSku": "THING"},
                "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": 2},
            }
        ],
    }


@dataclass
class Account:
    """A running sandbox with five orders of one application, and clients for it."""

    sandbox: Sandbox
    application: AmazonApplication
    engine: Engine
    calls: list[ApiCall] = field(default_factory=list)

    def client(self, *, record: CallRecorder | None = None, **change: Any) -> AmazonClient:
        settings: dict[str, Any] = {
            "endpoint": self.sandbox.amazon_url,
            "token_url": self.sandbox.amazon_url + "/auth/o2/token",
            "client_id": self.application.client_id,
            "client_secret": self.application.client_secret,
            "refresh_token": self.application.refresh_token,
            "account_name": "acme-na",
            "region": "na",
            "connection": "amazon_sp_api",
            "limiter": RateLimiter(self.engine, self.application.client_id, "acme-na", "na", max_wait_seconds=0),
            "record": record or self.calls.append,
            "timeouts": QUICK,
        }
        return AmazonClient(**(settings | change))

    def query(self, page_size: int = 100) -> dict[str, str]:
        now = self.sandbox.clock.now()
        return search_query([MARKETPLACE], now - timedelta(days=2), now - timedelta(minutes=3), IMPORT_DATA, page_size)

    def script(self, operation: str, kind: FaultKind, **more: Any) -> None:
        self.sandbox.amazon_faults.add(Fault(operation, kind, seconds=2.0, **more))

    def sent(self, operation: str) -> int:
        return self.sandbox.amazon_faults.calls[operation]


@pytest.fixture
def account(engine: Engine) -> Iterator[Account]:
    application = AmazonApplication(
        client_id=f"application-{uuid.uuid4()}",
        client_secret="planted-secret",
        refresh_token="planted-refresh-token",
        seller_id="A1EXAMPLESELLER",
        region="na",
        marketplace_ids=(MARKETPLACE,),
    )
    created = datetime.now(UTC) - timedelta(days=1)
    seeds = tuple(AmazonOrderSeed("A1EXAMPLESELLER", order_document(number, created)) for number in range(1, 6))
    commerce = CommerceSeed("", "", "", "", (), (), ())
    with Sandbox(Scenario((application,), seeds, commerce)) as sandbox:
        yield Account(sandbox, application, engine)


def package(quantity: int = 1) -> dict[str, Any]:
    return shipment_confirmation(
        marketplace_id=MARKETPLACE,
        package_reference_id="1",
        carrier_code="UPS",
        carrier_name=None,
        shipping_method=None,
        tracking_number="1Z999",
        shipped_at=datetime.now(UTC),
        items=[{"orderItemId": "90000000001", "quantity": quantity}],
    )


# Reading


def test_search_orders_when_there_are_three_pages(account: Account) -> None:
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


def test_search_orders_when_the_clock_of_amazon_is_ahead(account: Account) -> None:
    account.sandbox.clock.advance(timedelta(days=3))
    with account.client() as client:
        page = client.search_orders(account.query(), None)
        assert abs(page.fetched_at - account.sandbox.clock.now()) < timedelta(seconds=5)
        assert page.orders == []


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_search_orders_when_there_is_no_usable_answer(account: Account, kind: FaultKind) -> None:
    account.script("searchOrders", kind)
    with account.client() as client:
        with pytest.raises(UnavailableError, match=r"searchOrders.*Resolution:") as caught:
            client.search_orders(account.query(), None)
        assert not isinstance(caught.value, OutcomeUnknownError | ThrottledError)
        assert account.sent("searchOrders") == 1
        assert len(client.search_orders(account.query(), None).orders) == 5


@pytest.mark.parametrize(("told", "seconds"), [(7, 7), (86_400, 3600), (0, 1), (None, 179)])
def test_search_orders_when_amazon_throttles(account: Account, told: int | None, seconds: int) -> None:
    account.script("searchOrders", "throttle", retry_after=told)
    with account.client() as client:
        with pytest.raises(ThrottledError) as caught:
            client.search_orders(account.query(), None)
        assert caught.value.retry_after == timedelta(seconds=seconds)
        assert account.calls[-1].is_throttled
        with pytest.raises(ThrottledError, match="our share"):
            client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 1


def test_search_orders_when_our_share_is_used_up_sends_nothing(account: Account) -> None:
    with account.client() as client:
        for _ in range(20):
            client.search_orders(account.query(), None)
        with pytest.raises(ThrottledError, match="our share"):
            client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 20


def test_search_orders_when_amazon_tells_its_rate_keeps_it(account: Account) -> None:
    with account.client() as client:
        client.search_orders(account.query(), None)
    with account.engine.connect() as connection:
        row = connection.execute(select(rate_limits)).one()
    assert (row.operation, row.rate_per_second, row.burst) == ("searchOrders", Decimal("0.0056"), 20)
    assert account.calls[-1].rate_limit == Decimal("0.0056")


def test_search_orders_when_amazon_rejects_the_token_of_a_page(account: Account) -> None:
    with account.client() as client, pytest.raises(RefusedError) as caught:
        client.search_orders(account.query(), "no/such+token==")
    assert caught.value.code == "InvalidInput"
    assert caught.value.reason


def test_search_orders_when_the_window_ends_too_late(account: Account) -> None:
    now = account.sandbox.clock.now()
    with account.client() as client, pytest.raises(RefusedError) as caught:
        client.search_orders(search_query([MARKETPLACE], now - timedelta(days=1), now, ["FULFILLMENT"], 10), None)
    assert caught.value.code == "InvalidInput"


def test_get_order_when_it_exists(account: Account) -> None:
    with account.client() as client:
        order = client.get_order(ORDER_ID, ["FULFILLMENT"])
    assert order["orderId"] == ORDER_ID
    assert order["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
    assert "buyer" not in order


@pytest.mark.parametrize("order_id", ["111-9999999-9999999", "../orders", "a/b?c"])
def test_get_order_when_there_is_none(account: Account, order_id: str) -> None:
    with account.client() as client, pytest.raises(NotFoundError):
        client.get_order(order_id, ["FULFILLMENT"])


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_get_order_when_there_is_no_usable_answer(account: Account, kind: FaultKind) -> None:
    account.script("getOrder", kind)
    with account.client() as client:
        with pytest.raises(UnavailableError, match=ORDER_ID) as caught:
            client.get_order(ORDER_ID, ["FULFILLMENT"])
        assert not isinstance(caught.value, OutcomeUnknownError)


# Writing


def test_confirm_shipment_when_it_is_taken(account: Account) -> None:
    body = package()
    with account.client() as client:
        client.confirm_shipment(ORDER_ID, body)
        client.confirm_shipment(ORDER_ID, body)
        account.sandbox.clock.advance(timedelta(minutes=3))
        order = client.get_order(ORDER_ID, ["FULFILLMENT", "PACKAGES"])
    assert [package["packageReferenceId"] for package in order["packages"]] == ["1"]
    assert order["fulfillment"]["fulfillmentStatus"] == "PARTIALLY_SHIPPED"


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_confirm_shipment_when_the_outcome_is_unknown_sends_once(account: Account, kind: FaultKind) -> None:
    account.script("confirmShipment", kind)
    with account.client() as client, pytest.raises(OutcomeUnknownError, match=ORDER_ID):
        client.confirm_shipment(ORDER_ID, package())
    assert account.sent("confirmShipment") == 1
    is_done = kind in ("lost_reply", "broken_json", "slow")
    assert len(account.sandbox.amazon.confirmations) == (1 if is_done else 0)


def test_confirm_shipment_when_amazon_throttles_is_not_in_doubt(account: Account) -> None:
    account.script("confirmShipment", "throttle")
    with account.client() as client, pytest.raises(ThrottledError) as caught:
        client.confirm_shipment(ORDER_ID, package())
    assert not isinstance(caught.value, OutcomeUnknownError)


def test_confirm_shipment_when_the_token_has_expired_sends_once_more(account: Account) -> None:
    account.script("confirmShipment", "expired_token")
    with account.client() as client:
        client.confirm_shipment(ORDER_ID, package())
    assert len(account.sandbox.amazon.confirmations) == 1
    assert account.sent("token") == 2


def test_confirm_shipment_when_amazon_refuses(account: Account) -> None:
    with account.client() as client, pytest.raises(RefusedError, match="left to ship") as caught:
        client.confirm_shipment(ORDER_ID, package(quantity=99))
    assert caught.value.code == "InvalidInput"


def test_confirm_shipment_when_the_order_is_unknown(account: Account) -> None:
    with account.client() as client, pytest.raises(NotFoundError):
        client.confirm_shipment("111-9999999-9999999", package())


def test_confirm_shipment_when_nobody_listens_is_not_in_doubt(account: Account) -> None:
    nobody = account.client(endpoint="http://127.0.0.1:9")
    with nobody as client, pytest.raises(UnavailableError, match="not reached") as caught:
        client.confirm_shipment(ORDER_ID, package())
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert account.calls[-1].status_code is None


# Tokens


def test_token_when_two_clients_have_the_same_credentials(account: Account) -> None:
    for _ in range(2):
        with account.client() as client:
            client.get_order(ORDER_ID, [])
    assert account.sent("token") == 1


def test_token_when_threads_start_together_is_asked_for_once(account: Account) -> None:
    with account.client() as client, ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(lambda _: client.get_order(ORDER_ID, []), range(8)))) == 8
    assert account.sent("token") == 1


def test_token_when_it_expires_under_many_threads_is_renewed_once(account: Account) -> None:
    with account.client() as client, ThreadPoolExecutor(6) as threads:
        client.get_order(ORDER_ID, [])
        account.sandbox.clock.advance(timedelta(hours=2))
        assert len(list(threads.map(lambda _: client.get_order(ORDER_ID, []), range(6)))) == 6
    assert account.sent("token") == 2


def test_token_when_the_fresh_one_is_refused_too(account: Account) -> None:
    account.script("searchOrders", "expired_token", times=2)
    with (
        account.client() as client,
        pytest.raises(MisconfiguredError, match=r"acme-na.*amazon_sp_api.*roles") as caught,
    ):
        client.search_orders(account.query(), None)
    assert account.sent("searchOrders") == 2
    assert account.sent("token") == 2
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"client_secret": "planted-wrong"}, "invalid_client"),
        ({"client_id": "planted-unknown"}, "invalid_client"),
        ({"refresh_token": "planted-revoked"}, "invalid_grant"),
    ],
)
def test_token_when_the_credentials_are_wrong(account: Account, change: dict[str, Any], code: str) -> None:
    expected = pytest.raises(MisconfiguredError, match=rf"{code}.*Resolution:.*amazon_sp_api")
    with account.client(**change) as client, expected as caught:
        client.search_orders(account.query(), None)
    assert account.sent("token") == 1
    assert account.sent("searchOrders") == 0
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_token_when_there_is_no_usable_answer(account: Account, kind: FaultKind) -> None:
    account.script("token", kind)
    with account.client() as client:
        with pytest.raises(UnavailableError, match="token") as caught:
            client.confirm_shipment(ORDER_ID, package())
        assert not isinstance(caught.value, OutcomeUnknownError)  # the shipment itself was never sent
        client.confirm_shipment(ORDER_ID, package())


def test_token_when_the_login_throttles(account: Account) -> None:
    account.script("token", "throttle", retry_after=3)
    with account.client() as client, pytest.raises(ThrottledError) as caught:
        client.get_order(ORDER_ID, [])
    assert caught.value.retry_after == timedelta(seconds=3)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "refresh_token"])
def test_client_when_a_credential_is_missing(account: Account, name: str) -> None:
    with pytest.raises(MisconfiguredError, match=f"amazon_sp_api: {name} is missing"):
        change: dict[str, Any] = {name: ""}
        account.client(**change)


def test_server_time_when_there_was_no_answer_yet(account: Account) -> None:
    account.sandbox.clock.advance(timedelta(days=3))
    for asked in (1, 2):  # the second client has the shared token, yet asks: the first one's clock is not its own
        with account.client() as client:
            assert abs(client.server_time() - account.sandbox.clock.now()) < timedelta(seconds=5)
            assert client.server_time().tzinfo is UTC
            assert account.sent("token") == asked


# Records and logs


def test_calls_when_they_are_recorded_in_the_database(account: Account) -> None:
    with account.client(record=DatabaseCallRecorder(account.engine)) as client:
        client.search_orders(account.query(), None)
        account.script("getOrder", "throttle")
        with pytest.raises(ThrottledError):
            client.get_order(ORDER_ID, [])
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


def test_calls_when_the_database_is_gone_still_answer(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    gone = make_engine("postgresql+psycopg://nobody@127.0.0.1:9/none", application_name="tests")
    with account.client(record=DatabaseCallRecorder(gone)) as client:
        assert client.get_order(ORDER_ID, [])["orderId"] == ORDER_ID
    assert "getOrder was not recorded" in caplog.text


def test_logs_when_everything_is_logged_hold_no_secret_and_no_person(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    # Our own loggers at their finest; httpx logs addresses at INFO, which the task log does not show.
    caplog.set_level(logging.DEBUG, logger="include")
    with account.client() as client:
        page = client.search_orders(account.query(page_size=2), None)
        client.get_order(ORDER_ID, IMPORT_DATA)
        client.confirm_shipment(ORDER_ID, package())
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("include."))
    assert f"amazon getOrder {ORDER_ID} status=200 request_id=" in ours
    assert "amazon searchOrders status=200" in ours
    for secret in ("lanted", "Atza", "lastUpdatedAfter", "1Z999", "http"):
        assert secret not in ours
    assert "lanted" not in repr(page)


# Answers that are not data, from a server that says anything


Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Odd:
    """A server whose answers a test lists; the last one is repeated."""

    url: str
    replies: list[Reply]
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def odd() -> Iterator[Odd]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.seen.append(self.path)
            status, headers, body = state.replies.pop(0) if len(state.replies) > 1 else state.replies[0]
            self.send_response_only(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Odd(f"http://127.0.0.1:{server.server_address[1]}", [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def ask(odd: Odd, reply: Reply, *, is_write: bool = False, **options: Any) -> Answer:
    odd.replies[:] = [reply]
    with open_client(odd.url, connection="c", timeouts=QUICK, user_agent="tests") as client:
        return exchange(
            client,
            client.build_request("POST" if is_write else "GET", "/thing?secret=1"),
            system="commerce",
            connection="commerce_api",
            operation="thing",
            is_write=is_write,
            record=lambda call: None,
            subject="42",
            **options,
        )


JSON_BUT_NOT: list[Reply] = [
    (200, {"Content-Type": "text/html"}, b"{}"),
    (200, {}, b""),
    (200, {}, b'{"a": NaN}'),
    (200, {}, b'{"a": 1'),
    (200, {}, b"[" * 5000),
    (200, {}, b'{"a": 1e99999999999999999999}'),
    (200, {}, b'{"a": ' + b"9" * 5000 + b"}"),
    (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    (408, {}, b"{}"),
    (500, {}, b"{}"),
]


@pytest.mark.parametrize("reply", JSON_BUT_NOT)
def test_exchange_when_the_answer_is_no_data(odd: Odd, reply: Reply) -> None:
    with pytest.raises(UnavailableError) as caught:
        ask(odd, reply)
    assert not isinstance(caught.value, OutcomeUnknownError)
    with pytest.raises(OutcomeUnknownError):
        ask(odd, reply, is_write=True)
    assert len(odd.seen) == 2


def test_exchange_when_the_answer_is_json(odd: Odd) -> None:
    answer = ask(odd, (200, {"Content-Type": "application/json; charset=utf-8"}, b'{"a": 0.10, "b": 7}'))
    assert answer.document == {"a": Decimal("0.10"), "b": 7}
    assert isinstance(answer.document["a"], Decimal)
    assert ask(odd, (200, {}, b"null")).document is None
    assert ask(odd, (204, {}, b"")).document is None
    assert ask(odd, (200, {}, b""), is_empty_allowed=True).document is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_exchange_when_the_server_redirects(odd: Odd, status: int) -> None:
    with pytest.raises(MisconfiguredError, match=r"commerce thing of 42.*redirect.*Resolution:.*commerce_api"):
        ask(odd, (status, {"Location": odd.url + "/elsewhere"}, b""))
    assert len(odd.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, MisconfiguredError),
        (403, MisconfiguredError),
        (404, NotFoundError),
        (422, RefusedError),
    ],
)
def test_exchange_when_the_server_refuses(odd: Odd, status: int, kind: type[Exception]) -> None:
    def explain(status: int, document: Any) -> tuple[str, str]:
        return document["code"], "the reason"

    with pytest.raises(kind, match=r"42.*the reason.*Resolution:") as caught:
        ask(odd, (status, {}, b'{"code": "E1", "planted": "x"}'), explain=explain)
    assert "planted" not in str(caught.value) and "secret" not in str(caught.value)
    assert getattr(caught.value, "code", None) == "E1"
    with pytest.raises(kind):
        ask(odd, (status, {"Content-Type": "text/html"}, b"<html>"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30),
        ({"Retry-After": "Sat, 21 Nov 2026 09:00:00 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 1),
        ({"Retry-After": "99999999999999999999"}, 3600),
        ({"Retry-After": "soon"}, 45),
        ({"Retry-After": "-5"}, 45),
        ({}, 45),
    ],
)
def test_exchange_when_the_server_throttles(odd: Odd, header: dict[str, str], seconds: int) -> None:
    with pytest.raises(ThrottledError) as caught:
        ask(odd, (429, header, b""), is_write=True, default_wait=timedelta(seconds=45))
    assert caught.value.retry_after == timedelta(seconds=seconds)


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
def test_search_orders_when_the_answer_holds_no_list(account: Account, odd: Odd, body: bytes) -> None:
    odd.replies = [(200, {}, body)]
    with account.client(endpoint=odd.url) as client, pytest.raises(UnavailableError, match="does not hold"):
        client.search_orders(account.query(), None)


@pytest.mark.parametrize("body", [b"{}", b'{"order": []}', b"null"])
def test_get_order_when_the_answer_holds_no_order(account: Account, odd: Odd, body: bytes) -> None:
    odd.replies = [(200, {}, body)]
    with account.client(endpoint=odd.url) as client, pytest.raises(UnavailableError, match="does not hold"):
        client.get_order(ORDER_ID, [])


def token_reply(life: object, token: object = "Atza|x") -> Reply:
    return (
        200,
        {"Date": "Sat, 21 Nov 2026 10:00:00 GMT"},
        json.dumps({"access_token": token, "expires_in": life}).encode(),
    )


@pytest.mark.parametrize(
    "reply",
    [token_reply("soon"), token_reply(0), token_reply(None), token_reply(3600, ""), token_reply(3600, "a\r\nb")],
)
def test_token_when_the_answer_is_unusable(account: Account, odd: Odd, reply: Reply) -> None:
    odd.replies = [reply]
    with account.client(token_url=odd.url) as client, pytest.raises(UnavailableError, match="no usable token"):
        client.get_order(ORDER_ID, [])


@pytest.mark.parametrize(("life", "asked"), [(3600, 1), (60, 2)])
def test_token_when_it_is_about_to_expire_is_renewed_early(account: Account, odd: Odd, life: int, asked: int) -> None:
    odd.replies = [token_reply(life, account.sandbox.amazon.issue_token(account.application))]
    with account.client(token_url=odd.url) as client:
        client.get_order(ORDER_ID, [])
        client.get_order(ORDER_ID, [])
    assert len(odd.seen) == asked


def test_server_time_when_the_login_says_it(account: Account, odd: Odd) -> None:
    odd.replies = [token_reply(3600)]
    with account.client(token_url=odd.url) as client:
        first = client.server_time()
        time.sleep(0.05)
        assert timedelta(seconds=0.05) <= client.server_time() - first < timedelta(seconds=2)
        assert first.replace(microsecond=0) == datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_server_time_when_no_answer_has_a_date(account: Account, odd: Odd) -> None:
    odd.replies = [(200, {}, token_reply(3600)[2])]
    with account.client(token_url=odd.url) as client, pytest.raises(UnavailableError, match="Date header"):
        client.server_time()


# Addresses


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://sellingpartnerapi-na.amazon.com/", "https://sellingpartnerapi-na.amazon.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://localhost:1/rest/", "http://localhost:1/rest"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_check_base_url_when_it_may_be_called(url: str, expected: str) -> None:
    assert check_base_url(url, "amazon_sp_api") == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://sellingpartnerapi-na.amazon.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "https://planted:planted@example.com",
        "https://example.com/?planted=1",
        "https://",
        "ftp://example.com",
        "example.com",
        "/rest",
        "",
        "https://exa mple\x00.com",
    ],
)
def test_check_base_url_when_it_is_refused(url: str) -> None:
    with pytest.raises(MisconfiguredError, match=r"amazon_sp_api.*Resolution:") as caught:
        check_base_url(url, "amazon_sp_api")
    assert "planted" not in str(caught.value)


def test_open_client_when_a_proxy_is_set_spares_this_machine(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert ask(odd, (200, {}, b"{}")).status == 200
