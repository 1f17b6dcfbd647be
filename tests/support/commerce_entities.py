"""Orders to map, the documents they become, and ways into those documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from include.adapters.commerce.address import AddressPlaceholders
from include.adapters.commerce.documents import CatalogProduct, StoreView
from include.adapters.commerce.mapping import order_entity
from include.domain.contacts import Buyer, Contact, Recipient
from include.domain.marketplaces import MARKETPLACES
from include.domain.money import ExchangeRate
from include.domain.orders import Order, OrderLine
from include.domain.stores import OrderSettings, Pack, Store

US, DE, JP = "ATVPDKIKX0DER", "A1PA6795UKMFR9", "A1VC38T7YXB528"
AMAZON_ORDER_ID = "123-4567890-1234567"
PLACEHOLDERS = AddressPlaceholders(
    name="Amazon Customer",
    street="Withheld by Amazon",
    city="Withheld",
    postcode="00000",
    phone="0000000000",
    email_domain="amazon.invalid",
)
CONTACT = Contact(
    Buyer(name="Ada Lovelace", email="abc123@marketplace.amazon.com"),
    Recipient(
        name="Grace Brewster Hopper",
        address_lines=("1 Compiler Way", "Apt 9"),
        city="Arlington",
        region="VA",
        postal_code="22201",
        country_code="US",
        phone="+1 703 555 0100",
    ),
)


def line(number: int = 1, **changes: Any) -> OrderLine:
    amounts = {"ordered_qty": 1, "item_amount": Decimal("10.00")}
    return OrderLine(amazon_item_id=f"item-{number}", seller_sku=f"SKU-{number}", **{**amounts, **changes})


def order(*lines: OrderLine, total: str | None, currency: str | None = "USD", **changes: Any) -> Order:
    found = Order(
        amazon_order_id=AMAZON_ORDER_ID,
        account_name="acme",
        marketplace_id=US,
        amazon_status="UNSHIPPED",
        fulfilled_by="MERCHANT",
        purchased_at=datetime(2026, 11, 1, tzinfo=UTC),
        currency_code=currency,
        grand_total_amount=None if total is None else Decimal(total),
        service_level="STANDARD",
        lines=lines,
    )
    return replace(found, **changes)


def entity(
    amazon_order: Order,
    contact: Contact = CONTACT,
    marketplace_id: str = US,
    customer_id: int | None = None,
    rate: ExchangeRate | None = None,
    base_currency: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    store = Store(
        "Shop", "acme", marketplace_id, "commerce_api", "default", OrderSettings(**settings), {"SKU-9": Pack("mug")}
    )
    view = StoreView(1, "default", 1, "base", base_currency or MARKETPLACES[marketplace_id].currency_code, 1)
    products = {
        each.catalog_sku(store): CatalogProduct(
            7, each.catalog_sku(store).upper(), "Name", True, "simple", Decimal(5), Decimal("0.5"), (1,)
        )
        for each in amazon_order.lines
    }
    return order_entity(
        amazon_order,
        contact,
        store,
        view,
        products,
        shipping_method="flatrate_flatrate",
        placeholder=PLACEHOLDERS,
        customer_id=customer_id,
        rate=rate,
    )


def comment(document: dict[str, Any]) -> str:
    return str(document["status_histories"][0]["comment"])


def shipping(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["extension_attributes"]["shipping_assignments"][0]["shipping"]
    return found


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, path)
    else:
        yield path, document
