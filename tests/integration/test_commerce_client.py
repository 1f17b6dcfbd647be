"""The Commerce client against the local Commerce, and against a scripted server where that one has no such behavior."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx
import pytest

from include.adapters.api_calls import ApiCall
from include.adapters.commerce_address import AddressPlaceholders
from include.adapters.commerce_auth import ImsClientCredentials, build_auth
from include.adapters.commerce_client import CommerceClient
from include.adapters.commerce_documents import CatalogProduct, CommerceOrder, StoreView
from include.adapters.commerce_mapping import order_entity, scrub
from include.adapters.http import Timeouts
from include.domain.errors import (
    MisconfiguredError,
    NotFoundError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from include.domain.orders import Contact, Order, OrderLine
from include.domain.stores import OrderSettings, Store
from include.sandbox.faults import Fault
from include.sandbox.seeds import CommerceSeed, Product, Scenario, Website
from include.sandbox.seeds import StoreView as SeedView
from include.sandbox.servers import Sandbox

OAUTH = {
    "auth": "oauth1",
    "consumer_key": "key",
    "consumer_secret": "secret+/&=",
    "access_token": "token",
    "access_token_secret": "tøken secret",
}
BEARER = {"auth": "bearer", "access_token": "token"}
ODD_SKUS = ("shirt/red", "mug,blue", "Große Tasse", "MÜG-1", "50% off & more", "a+b [c]")
AMAZON_ORDER_ID = "123-4567890-1234567"
CONTACT = Contact({"buyer": {"buyerName": "Ada Lovelace"}, "recipient": {"deliveryAddress": {"phone": "0123456789"}}})
TIMEOUTS = Timeouts(connect=5, read=10)


def product(product_id: int, sku: str, **changes: Any) -> Product:
    made = Product(product_id, sku, f"Name of {sku}", Decimal("9.99"), (1,), quantities={1: Decimal(5)})
    return replace(made, **changes)


SEED = CommerceSeed(
    consumer_key=OAUTH["consumer_key"],
    consumer_secret=OAUTH["consumer_secret"],
    access_token=OAUTH["access_token"],
    access_token_secret=OAUTH["access_token_secret"],
    websites=(Website(1, "base", 1), Website(2, "eu_site", 2)),
    store_views=(
        SeedView(1, "default", "US", 1, "USD"),
        SeedView(2, "second", "US 2", 1, "USD"),
        SeedView(3, "german", "DE", 2, "EUR"),
    ),
    products=(
        *(product(10 + number, sku) for number, sku in enumerate(ODD_SKUS)),
        product(30, "Plain-1"),
        product(31, "half", disabled_in=("second",)),
        *(product(100 + number, f"BULK-{number:03}") for number in range(120)),
    ),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Sandbox, dict[str, Any]]]:
    """One start for all tests of this module, and the shop as it was then."""
    with Sandbox(Scenario((), (), SEED)) as running:
        yield running, running.commerce.snapshot()


@pytest.fixture
def sandbox(servers: tuple[Sandbox, dict[str, Any]]) -> Sandbox:
    running, untouched = servers
    running.commerce.restore(untouched)
    running.commerce_faults.clear()
    running.commerce_faults.calls.clear()
    return running


@pytest.fixture
def calls() -> list[ApiCall]:
    return []


@pytest.fixture
def connect(sandbox: Sandbox, calls: list[ApiCall]) -> Iterator[Callable[..., CommerceClient]]:
    """Opens clients of the local Commerce, and closes them."""
    opened: list[CommerceClient] = []

    def connect(extra: dict[str, str] = OAUTH, host: str = "", **changes: Any) -> CommerceClient:
        arguments: dict[str, Any] = {"edition": "paas", "timeouts": TIMEOUTS} | changes
        client = CommerceClient(
            host=host or sandbox.commerce_url,
            auth=build_auth(extra, "commerce_api"),
            connection="commerce_api",
            record=calls.append,
            **arguments,
        )
        opened.append(client)
        return client

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Callable[..., CommerceClient]) -> CommerceClient:
    return connect()


def entity(amazon_order_id: str = AMAZON_ORDER_ID, source: str = "commerce", **changes: Any) -> dict[str, Any]:
    order = Order(
        amazon_order_id=amazon_order_id,
        account_name="acme",
        marketplace_id="ATVPDKIKX0DER",
        amazon_status="UNSHIPPED",
        fulfilled_by="MERCHANT",
        purchased_at=datetime(2026, 11, 1, tzinfo=UTC),
        currency_code="USD",
        grand_total_amount=Decimal("21.98"),
        lines=(
            OrderLine("item-1", "Plain-1", 2, item_amount=Decimal("19.98")),
            OrderLine("item-2", "Plain-1", 1, item_amount=Decimal("2.00")),
        ),
    )
    store = Store("Shop", "acme", "ATVPDKIKX0DER", "commerce_api", "default", OrderSettings(order_number_source=source))  # type: ignore[arg-type]
    catalog = {"Plain-1": CatalogProduct(30, "Plain-1", "Plain", True, "simple", None, None, (1,))}
    view = StoreView(1, "default", 1, "base", "USD", 1)
    placeholders = AddressPlaceholders("Amazon Customer", "Street", "City", "00000", "0", "amazon.invalid")
    document = order_entity(
        order, CONTACT, store, view, catalog, shipping_method="flatrate_flatrate", placeholder=placeholders
    )
    return document | changes


def create(client: CommerceClient, *arguments: str, **changes: Any) -> CommerceOrder:
    return client.create_order("default", entity(*arguments, **changes), scrub=lambda text: scrub(text, CONTACT))


# Reading


def test_store_views_when_asked_twice(client: CommerceClient, sandbox: Sandbox) -> None:
    views = client.store_views()
    assert views == client.store_views()
    assert set(views) == {"default", "second", "german"}
    assert views["german"] == StoreView(3, "german", 2, "eu_site", "EUR", 2)
    assert sandbox.commerce_faults.calls["storeViews"] == 1
    assert sandbox.commerce_faults.calls["stockResolver"] == 2


def test_store_views_when_the_host_is_not_a_shop(connect: Callable[..., CommerceClient], sandbox: Sandbox) -> None:
    with pytest.raises(MisconfiguredError, match="commerce_api"):
        connect(host=f"{sandbox.commerce_url}/elsewhere").store_views()


@pytest.mark.parametrize("extra", [OAUTH, BEARER], ids=["oauth1", "bearer"])
def test_products_when_skus_are_odd(connect: Callable[..., CommerceClient], extra: dict[str, str]) -> None:
    wanted = [*ODD_SKUS, "plain-1", "PLAIN-1", "nowhere", "no,where", ""]
    found = connect(extra).products("default", wanted)
    assert set(found) == {*ODD_SKUS, "plain-1", "PLAIN-1"}
    assert {found[sku].sku for sku in ODD_SKUS} == set(ODD_SKUS)
    assert found["plain-1"] == CatalogProduct(
        30, "Plain-1", "Name of Plain-1", True, "simple", Decimal("9.99"), Decimal(1), (1,)
    )
    assert type(found["plain-1"].price) is Decimal


def test_products_when_one_is_disabled_in_the_view(client: CommerceClient) -> None:
    assert client.products("default", ["half"])["half"].is_enabled
    assert not client.products("second", ["half"])["half"].is_enabled


def test_products_when_there_are_many(client: CommerceClient, sandbox: Sandbox) -> None:
    wanted = {f"BULK-{number:03}" for number in range(120)}
    assert set(client.products("default", wanted)) == wanted
    assert sandbox.commerce_faults.calls["searchProducts"] == 3


def test_products_when_none_is_wanted(client: CommerceClient, sandbox: Sandbox) -> None:
    assert client.products("default", []) == {}
    assert not sandbox.commerce_faults.calls


def test_salable_when_quantities_differ(client: CommerceClient) -> None:
    wanted = {
        **dict.fromkeys(ODD_SKUS, Decimal(5)),
        "plain-1": Decimal("5.5"),
        "half": Decimal(1),
        "nowhere": Decimal(1),
    }
    expected = {**dict.fromkeys(ODD_SKUS, True), "plain-1": False, "half": True, "nowhere": False}
    assert client.salable(1, wanted) == expected


def test_salable_when_there_are_many(client: CommerceClient, sandbox: Sandbox) -> None:
    wanted = {f"BULK-{number:03}": Decimal(1) for number in range(120)}
    assert client.salable(1, wanted) == dict.fromkeys(wanted, True)
    assert sandbox.commerce_faults.calls["areSalableForQty"] == 3


@pytest.mark.parametrize("sku", [sku for sku in ODD_SKUS if "/" not in sku])
def test_salable_quantity_when_skus_are_odd(client: CommerceClient, sandbox: Sandbox, sku: str) -> None:
    sandbox.commerce.set_quantity(sku, 1, Decimal("7.25"))
    assert client.salable_quantity(sku, 1) == Decimal("7.25")


@pytest.mark.parametrize("units", [0, 1, 2, 7, 8, 1000])
def test_salable_quantity_when_the_sku_has_a_slash(client: CommerceClient, sandbox: Sandbox, units: int) -> None:
    sandbox.commerce.set_quantity("shirt/red", 1, Decimal(units))
    assert client.salable_quantity("shirt/red", 1) == units
    assert sandbox.commerce_faults.calls["areSalableForQty"] < 25


def test_salable_quantity_when_the_product_is_unknown(client: CommerceClient) -> None:
    with pytest.raises(RefusedError):
        client.salable_quantity("nowhere", 1)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 205])
def test_find_orders_when_the_last_page_repeats(client: CommerceClient, sandbox: Sandbox, count: int) -> None:
    for _ in range(count):
        sandbox.commerce.add_order(entity())
    sandbox.commerce.add_order(entity("999-0000000-0000000"))
    found = client.find_orders(ext_order_id=AMAZON_ORDER_ID)
    ids = [int(order.order_id) for order in found]
    assert len(ids) == len(set(ids)) == count
    assert ids == sorted(ids)
    assert sandbox.commerce_faults.calls["searchOrders"] == max(1, -(-count // 100))


def test_find_orders_when_no_id_is_given(client: CommerceClient) -> None:
    with pytest.raises(ValueError, match="increment_id"):
        client.find_orders(store_id=1)


def test_order_when_there_is_none(client: CommerceClient) -> None:
    with pytest.raises(NotFoundError):
        client.order("999")


def test_customer_id_when_there_is_none(client: CommerceClient) -> None:
    assert client.customer_id("someone@example.com", 1) is None


# Writing


@pytest.mark.parametrize("extra", [OAUTH, BEARER], ids=["oauth1", "bearer"])
def test_create_order_when_it_is_new(
    connect: Callable[..., CommerceClient], sandbox: Sandbox, extra: dict[str, str]
) -> None:
    client = connect(extra)
    before = sandbox.clock.now() - timedelta(seconds=1)
    created = create(client, AMAZON_ORDER_ID, "amazon")
    assert (created.number, created.ext_order_id, created.store_id) == (AMAZON_ORDER_ID, AMAZON_ORDER_ID, 1)
    assert (created.state, created.status, created.currency) == ("new", "pending", "USD")
    assert (created.grand_total, created.total_invoiced) == (Decimal("21.98"), Decimal(0))
    assert before.replace(microsecond=0) <= created.created_at <= sandbox.clock.now()
    assert set(created.item_ids) == {"item-1", "item-2"}
    assert client.find_orders(ext_order_id=AMAZON_ORDER_ID) == [created]
    assert client.find_orders(increment_id=AMAZON_ORDER_ID, store_id=1) == [created]
    assert client.find_orders(increment_id=AMAZON_ORDER_ID, store_id=2) == []
    assert client.order(created.order_id) == created
    [kept] = sandbox.commerce.order_by_ext_id(AMAZON_ORDER_ID)
    assert kept["payment"]["po_number"] == AMAZON_ORDER_ID
    assert sandbox.commerce.mails == []


def test_create_order_when_the_number_is_taken(client: CommerceClient, sandbox: Sandbox) -> None:
    create(client, AMAZON_ORDER_ID, "amazon")
    with pytest.raises(RefusedError) as caught:
        create(client, AMAZON_ORDER_ID, "amazon")
    assert caught.value.code == "duplicate"
    assert AMAZON_ORDER_ID in str(caught.value)
    assert len(sandbox.commerce.orders()) == 1


def test_create_order_when_commerce_refuses_it(client: CommerceClient, sandbox: Sandbox) -> None:
    with pytest.raises(RefusedError) as caught:
        create(client, items=[])
    assert caught.value.code == "400"
    assert caught.value.reason
    assert "%" not in caught.value.reason
    assert sandbox.commerce.orders() == []


def test_invoice_when_it_is_repeated(client: CommerceClient, sandbox: Sandbox) -> None:
    created = create(client)
    assert client.invoice(created.order_id).isdigit()
    invoiced = client.order(created.order_id)
    assert (invoiced.state, invoiced.total_invoiced) == ("processing", Decimal("21.98"))
    with pytest.raises(RefusedError):
        client.invoice(created.order_id)
    assert sandbox.commerce.mails == []


def test_set_status_when_it_is_repeated(client: CommerceClient, sandbox: Sandbox) -> None:
    created = create(client)
    for _ in range(2):
        client.set_status(created, state="complete", status="complete")
    found = client.order(created.order_id)
    assert (found.state, found.status) == ("complete", "complete")
    assert found.number == created.number
    assert replace(found, state=created.state, status=created.status) == created
    assert len(sandbox.commerce.orders()) == 1


def test_shipments_when_there_are_many_orders(client: CommerceClient, sandbox: Sandbox) -> None:
    ids = [str(sandbox.commerce.add_order(entity(f"700-0000000-{number:07}"))["entity_id"]) for number in range(120)]
    sandbox.commerce.set_quantity("Plain-1", 1, Decimal(1000))
    for number in (0, 60, 119):
        sandbox.commerce.ship(f"700-0000000-{number:07}", None, [("ups", "UPS", f"1Z{number}")])
    sandbox.commerce.ship("700-0000000-0000001", {"item-1": Decimal(1)}, [("ups", "UPS", "A"), ("dhl", "DHL", "B")])
    found = client.shipments(ids)
    assert [each["order_id"] for each in found] == [int(ids[number]) for number in (0, 1, 60, 119)]
    partial = next(each for each in found if each["order_id"] == int(ids[1]))
    assert set(partial) == {"entity_id", "increment_id", "order_id", "created_at", "updated_at", "items", "tracks"}
    assert [(item["order_item_id"], item["qty"]) for item in partial["items"]] == [
        (int(client.order(ids[1]).item_ids["item-1"]), 1)
    ]
    assert [(track["track_number"], track["carrier_code"], track["title"]) for track in partial["tracks"]] == [
        ("A", "ups", "UPS"),
        ("B", "dhl", "DHL"),
    ]
    assert sandbox.commerce_faults.calls["searchShipments"] == 3


def test_shipments_when_no_order_is_open(client: CommerceClient, sandbox: Sandbox) -> None:
    assert client.shipments([]) == []
    assert not sandbox.commerce_faults.calls


# Faults

READ_FAULTS: dict[str, type[OrdersError]] = {
    "throttle": ThrottledError,
    "html_500": UnavailableError,
    "empty_500": UnavailableError,
    "html_503": UnavailableError,
    "slow": UnavailableError,
    "lost_reply": UnavailableError,
    "dropped": UnavailableError,
    "expired_token": MisconfiguredError,
    "broken_json": UnavailableError,
}
# The error of a write, and how many orders exist afterwards.
WRITE_FAULTS: dict[str, tuple[type[OrdersError], int]] = {
    "throttle": (ThrottledError, 0),
    "html_500": (OutcomeUnknownError, 0),
    "empty_500": (OutcomeUnknownError, 0),
    "html_503": (OutcomeUnknownError, 0),
    "slow": (OutcomeUnknownError, 1),
    "lost_reply": (OutcomeUnknownError, 1),
    "dropped": (OutcomeUnknownError, 0),
    "expired_token": (MisconfiguredError, 0),
    "broken_json": (OutcomeUnknownError, 1),
}


def fault(operation: str, kind: Any) -> Fault:
    return Fault(operation, kind, seconds=1.0 if kind == "slow" else 0.0, retry_after=7 if kind == "throttle" else None)


@pytest.mark.parametrize("kind", READ_FAULTS)
def test_find_orders_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    created = create(connect())
    sandbox.commerce_faults.add(fault("searchOrders", kind))
    with pytest.raises(READ_FAULTS[kind]) as caught:
        client.find_orders(ext_order_id=AMAZON_ORDER_ID)
    assert type(caught.value) is READ_FAULTS[kind]
    assert sandbox.commerce_faults.calls["searchOrders"] == 1
    if isinstance(caught.value, ThrottledError):
        assert caught.value.retry_after == timedelta(seconds=7)
    assert client.find_orders(ext_order_id=AMAZON_ORDER_ID) == [created]


@pytest.mark.parametrize("kind", WRITE_FAULTS)
def test_create_order_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    sandbox.commerce_faults.add(fault("createOrder", kind))
    error, orders = WRITE_FAULTS[kind]
    with pytest.raises(error) as caught:
        create(client)
    assert type(caught.value) is error
    assert "Lovelace" not in str(caught.value)
    deadline = time.monotonic() + 5
    while len(sandbox.commerce.orders()) < orders and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(sandbox.commerce.orders()) == orders
    assert sandbox.commerce_faults.calls["createOrder"] == 1


@pytest.mark.parametrize("kind", [kind for kind, (error, _) in WRITE_FAULTS.items() if error is OutcomeUnknownError])
def test_invoice_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    created = create(connect())
    sandbox.commerce_faults.add(fault("invoiceOrder", kind))
    with pytest.raises(OutcomeUnknownError, match=created.order_id):
        client.invoice(created.order_id)


def test_write_when_no_server_listens(connect: Callable[..., CommerceClient]) -> None:
    with pytest.raises(UnavailableError) as caught:
        create(connect(host="http://127.0.0.1:9"))
    assert not isinstance(caught.value, OutcomeUnknownError)


# Authorization


@pytest.mark.parametrize("extra", [OAUTH | {"consumer_secret": "wrong"}, BEARER | {"access_token": "wrong"}])
def test_request_when_credentials_are_wrong(connect: Callable[..., CommerceClient], extra: dict[str, str]) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        connect(extra).store_views()
    assert "commerce_api" in str(caught.value)
    assert "Sales: view, create" in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({}, ["consumer_key", "consumer_secret", "access_token", "access_token_secret"]),
        ({"auth": "oauth1", "consumer_key": "top-secret"}, ["consumer_secret"]),
        ({"auth": "bearer"}, ["access_token"]),
        ({"auth": "ims", "client_id": "top-secret"}, ["token_url", "client_secret", "org_id"]),
        ({"auth": "top-secret"}, ["oauth1, bearer, ims"]),
        (
            {"auth": "ims", "token_url": "http://ims.example", "client_id": "a", "client_secret": "b", "org_id": "c"},
            ["plain http"],
        ),
    ],
)
def test_auth_when_the_extra_is_wrong(extra: dict[str, str], named: list[str]) -> None:
    with pytest.raises(MisconfiguredError, match="commerce_api") as caught:
        build_auth(extra, "commerce_api")
    assert all(name in str(caught.value) for name in named)
    assert "top-secret" not in str(caught.value)


def test_edition_when_it_is_unknown(connect: Callable[..., CommerceClient]) -> None:
    with pytest.raises(MisconfiguredError, match="edition"):
        connect(edition="cloud")


def test_signature_when_the_query_is_odd() -> None:
    """RFC 5849, 3.4, worked out again by hand."""
    pairs = [
        ("searchCriteria[filter_groups][0][value]", "a,b c/ü%&=+"),
        ("b", "1"),
        ("a", "2"),
        ("a", "1"),
        ("empty", ""),
    ]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    request = httpx.Request("GET", f"https://Shop.example:443/rest/all/V1/products/a%2Fb?{query}")
    headers = []
    for _ in range(2):
        flow = build_auth(OAUTH, "commerce_api").sync_auth_flow(request)
        headers.append(next(flow).headers["Authorization"])
    assert headers[0] != headers[1]  # a nonce is good for one request
    kind, _, rest = headers[0].partition(" ")
    assert kind == "OAuth"
    given = {name: unquote(value.strip('"')) for name, value in (part.split("=", 1) for part in rest.split(", "))}
    signature = given.pop("oauth_signature")
    assert given["oauth_signature_method"] == "HMAC-SHA256"

    def escape(text: str) -> str:
        return quote(text, safe="~")

    signed = sorted((escape(name), escape(value)) for name, value in [*pairs, *given.items()])
    normalized = "&".join(f"{name}={value}" for name, value in signed)
    base = "&".join(["GET", escape("https://shop.example/rest/all/V1/products/a%2Fb"), escape(normalized)])
    key = f"{escape(OAUTH['consumer_secret'])}&{escape(OAUTH['access_token_secret'])}"
    expected = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest()).decode()
    assert signature == expected


# What the local Commerce does not do: redirects, Adobe IMS, the SaaS addresses, quotes of personal data


class Scripted:
    """A local server that answers each path in turn from a script, and remembers the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], Any]]] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                scripted.requests.append((self.command, self.path, dict(self.headers.items()), body))
                queue = scripted.answers[urlsplit(self.path).path]
                status, headers, document = queue.pop(0) if len(queue) > 1 else queue[0]
                content = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps the test's output quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> list[str]:
        return [urlsplit(path).path for _, path, _, _ in self.requests]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


def test_write_when_the_shop_redirects(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    scripted.answers["/rest/default/V1/orders"] = [(301, {"Location": f"{scripted.url}/other"}, {})]
    with pytest.raises(MisconfiguredError, match="redirect"):
        create(connect(host=scripted.url))
    assert scripted.paths() == ["/rest/default/V1/orders"]


def test_create_order_when_the_refusal_quotes_the_buyer(
    connect: Callable[..., CommerceClient], scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = {
        "message": 'Invalid value of "%value" provided for the %fieldName field of %unknown.',
        "parameters": {"fieldName": "telephone", "value": "0123456789"},
        "errors": [{"message": "%1 is no name: %2", "parameters": ["ADA LOVELACE", "other@example.com"]}],
    }
    scripted.answers["/rest/default/V1/orders"] = [(400, {}, refusal)]
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RefusedError) as caught:
        create(connect(host=scripted.url))
    assert caught.value.reason == (
        'Invalid value of "[removed]" provided for the telephone field of %unknown.; [removed] is no name: [removed]'
    )
    told = str(caught.value) + caplog.text
    assert not [word for word in ("lovelace", "0123456789", "other@") if word in told.casefold()]


@pytest.mark.parametrize("document", [{}, [], True, {"entity_id": 1}, {"message": "created"}])
def test_create_order_when_the_answer_is_no_order(
    connect: Callable[..., CommerceClient], scripted: Scripted, document: Any
) -> None:
    scripted.answers["/rest/default/V1/orders"] = [(200, {}, document)]
    with pytest.raises(OutcomeUnknownError, match=AMAZON_ORDER_ID):
        create(connect(host=scripted.url))


@pytest.mark.parametrize("document", [{}, [], {"items": [{}], "total_count": 1}, {"items": [3], "total_count": 1}])
def test_find_orders_when_the_answer_is_no_listing(
    connect: Callable[..., CommerceClient], scripted: Scripted, document: Any
) -> None:
    scripted.answers["/rest/all/V1/orders"] = [(200, {}, document)]
    with pytest.raises(UnavailableError):
        connect(host=scripted.url).find_orders(ext_order_id=AMAZON_ORDER_ID)


def test_find_orders_when_the_count_is_too_high(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    row = {"entity_id": 1, "increment_id": "1", "store_id": 1, "grand_total": 1.1, "created_at": "2026-11-01 10:00:00"}
    scripted.answers["/rest/all/V1/orders"] = [(200, {}, {"items": [row], "total_count": 10_000})]
    [found] = connect(host=scripted.url).find_orders(ext_order_id=AMAZON_ORDER_ID)
    assert found.grand_total == Decimal("1.1")
    assert found.created_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert len(scripted.requests) == 2


def test_customer_id_when_there_is_one(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    scripted.answers["/rest/all/V1/customers/search"] = [(200, {}, {"items": [{"id": 42}], "total_count": 1})]
    assert connect(host=scripted.url).customer_id("a+b@example.com", 3) == 42
    sent = dict(parse_qsl(urlsplit(scripted.requests[0][1]).query))
    prefix = "searchCriteria[filter_groups]"
    assert sent[f"{prefix}[0][filters][0][value]"] == "a+b@example.com"
    assert sent[f"{prefix}[1][filters][0][value]"] == "3"


def test_logs_when_a_customer_is_searched(
    connect: Callable[..., CommerceClient], scripted: Scripted, caplog: pytest.LogCaptureFixture, calls: list[ApiCall]
) -> None:
    scripted.answers["/rest/all/V1/customers/search"] = [(200, {}, {"items": [], "total_count": 0})]
    caplog.set_level(logging.INFO)
    connect(host=scripted.url).customer_id("buyer@example.com", 3)
    assert "searchCustomers" in caplog.text
    assert "buyer" not in caplog.text
    assert [(call.operation, call.status_code) for call in calls] == [("searchCustomers", 200)]


def saas(scripted: Scripted) -> dict[str, str]:
    return {
        "auth": "ims",
        "token_url": f"{scripted.url}/ims/token/v3",
        "client_id": "client",
        "client_secret": "very secret",
        "org_id": "ORG@AdobeOrg",
    }


EMPTY = (200, {}, {"items": [], "total_count": 0})
TOKENS = [(200, {}, {"access_token": f"token-{number}", "expires_in": 86_399}) for number in (1, 2, 3)]


def test_request_when_the_edition_is_saas(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    scripted.answers = {"/ims/token/v3": [*TOKENS], "/tenant/V1/products": [EMPTY]}
    client = connect(saas(scripted), host=f"{scripted.url}/tenant", edition="saas")
    for _ in range(2):
        assert client.products("german", ["x"]) == {}
    assert scripted.paths() == ["/ims/token/v3", "/tenant/V1/products", "/tenant/V1/products"]
    form = dict(parse_qsl(scripted.requests[0][3].decode()))
    assert (form["grant_type"], form["client_id"], form["client_secret"]) == (
        "client_credentials",
        "client",
        "very secret",
    )
    assert "commerce.accs" in form["scope"].split(",")
    headers = {name.lower(): value for name, value in scripted.requests[1][2].items()}
    assert headers["authorization"] == "Bearer token-1"
    assert headers["store"] == "german"
    assert (headers["x-api-key"], headers["x-gw-ims-org-id"]) == ("client", "ORG@AdobeOrg")


def test_request_when_an_ims_token_is_refused(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    refused = (401, {}, {"message": "Oauth token is not valid"})
    scripted.answers = {"/ims/token/v3": [*TOKENS], "/V1/products": [refused, EMPTY, refused]}
    client = connect(saas(scripted), host=scripted.url, edition="saas")
    assert client.products("german", ["x"]) == {}
    with pytest.raises(MisconfiguredError, match="Oauth token is not valid"):
        client.products("german", ["x"])
    assert scripted.paths().count("/ims/token/v3") == 3
    assert scripted.paths().count("/V1/products") == 4


def test_request_when_an_ims_token_is_about_to_end(scripted: Scripted) -> None:
    scripted.answers = {"/ims/token/v3": [(200, {}, {"access_token": "a", "expires_in": 0}), TOKENS[0]]}
    auth = build_auth(saas(scripted), "commerce_api")
    assert isinstance(auth, ImsClientCredentials)
    seen = []
    for _ in range(3):
        request = httpx.Request("GET", "https://shop.example/")
        seen.append(next(auth.sync_auth_flow(request)).headers["Authorization"])
    assert seen == ["Bearer a", "Bearer token-1", "Bearer token-1"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {}, {"error": "invalid_client"}), MisconfiguredError),
        ((401, {}, {"error": "invalid_client"}), MisconfiguredError),
        ((429, {"Retry-After": "3"}, {}), ThrottledError),
        ((500, {}, {}), UnavailableError),
        ((200, {}, {"no": "token"}), UnavailableError),
        ((200, {}, ["token"]), UnavailableError),
    ],
)
def test_create_order_when_ims_gives_no_token(
    connect: Callable[..., CommerceClient],
    scripted: Scripted,
    answer: tuple[int, dict[str, str], Any],
    error: type[OrdersError],
) -> None:
    scripted.answers = {"/ims/token/v3": [answer]}
    with pytest.raises(error, match="commerce_api") as caught:
        create(connect(saas(scripted), host=scripted.url, edition="saas"))
    # Nothing was sent to the shop: this is no doubt about an order.
    assert type(caught.value) is error
    assert "very secret" not in str(caught.value)
