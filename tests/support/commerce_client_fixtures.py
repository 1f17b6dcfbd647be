"""A small shop at the local Commerce, started once per module, clients of it, and an order to create."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.api_calls import ApiCall
from include.adapters.commerce.address import AddressPlaceholders
from include.adapters.commerce.auth import build_auth
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CatalogProduct, CommerceOrder, StoreView
from include.adapters.commerce.mapping import encode_order, order_entity
from include.domain.contacts import Buyer, Contact, Recipient
from include.domain.orders import Order, OrderLine
from include.domain.stores import OrderSettings, Store
from local.sandbox.seeds import CommerceSeed, Product, Scenario, Website
from local.sandbox.seeds import StoreView as SeedView
from local.sandbox.servers import Sandbox
from tests.support.waiting import PATIENT

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
CONTACT = Contact(Buyer(name="Ada Lovelace"), Recipient(phone="0123456789"))


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
        arguments: dict[str, Any] = {"edition": "paas", "timeouts": PATIENT} | changes
        client = CommerceClient(
            host=host or sandbox.commerce_url,
            auth=build_auth(
                extra, "commerce_api", record=lambda call: calls.append(call), timeouts=arguments["timeouts"]
            ),
            connection="commerce_api",
            record=lambda call: calls.append(call),
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
    document = entity(*arguments, **changes)
    return client.create_order(
        "default",
        encode_order(document),
        subject=str(document["ext_order_id"]),
        personal=list(CONTACT.texts()),
    )
