"""Builds complete Amazon order documents, whose amounts add up, from short descriptions of who bought what.

Shape: orders_2026-01-01.json, definition Order. Amounts are decimal strings, times UTC.

Amazon's documents leave two conventions open. Here, where item prices include tax (everywhere except the US and
Canada), the TAX breakdown is part of the others and is not added to the total. DISCOUNT is positive in North America
and negative elsewhere, so that a reader must handle both signs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from local.sandbox.amazon.search import format_time
from local.sandbox.scenario.catalog import TITLES
from local.sandbox.seeds import AmazonChange, AmazonOrderSeed

Document = dict[str, Any]


@dataclass(frozen=True)
class Market:
    """One marketplace of one seller. `tax_rate` is a fraction; `decimals` are those of the currency."""

    marketplace_id: str
    name: str
    seller_id: str
    currency_code: str
    decimals: int
    tax_rate: Decimal
    has_tax_in_prices: bool
    order_prefix: str
    email_domain: str


US = Market("ATVPDKIKX0DER", "Amazon.com", "A1EXAMPLESELLER", "USD", 2, Decimal("0.0825"), False, "113", "amazon.com")
CA = Market("A2EUQ1WTGCTBG2", "Amazon.ca", "A1EXAMPLESELLER", "CAD", 2, Decimal("0.13"), False, "702", "amazon.ca")
DE = Market("A1PA6795UKMFR9", "Amazon.de", "A2EXAMPLESELLER", "EUR", 2, Decimal("0.19"), True, "305", "amazon.de")
UK = Market("A1F83G8C2ARO7P", "Amazon.co.uk", "A2EXAMPLESELLER", "GBP", 2, Decimal("0.20"), True, "203", "amazon.co.uk")
JP = Market("A1VC38T7YXB528", "Amazon.co.jp", "A3EXAMPLESELLER", "JPY", 0, Decimal("0.10"), True, "250", "amazon.co.jp")
_MARKETS = {"us": US, "ca": CA, "de": DE, "uk": UK, "jp": JP}


@dataclass(frozen=True)
class Person:
    """A buyer, who is also the recipient."""

    name: str
    street: str
    city: str
    region: str
    postal_code: str
    country_code: str
    phone: str
    company: str = ""


@dataclass(frozen=True)
class Line:
    """One order line. Amounts are for the whole line, in the marketplace's currency; `discount` is positive."""

    sku: str
    title: str
    quantity: int
    amount: str
    shipping: str = "0"
    discount: str = "0"
    gift_wrap: str = "0"
    parts: Document = field(default_factory=dict)  # additional parts of the item, in Amazon's format


def market_of(slug: str) -> Market:
    """The marketplace of an order, from the part of its slug before the first dash. Raises KeyError."""
    return _MARKETS[slug.partition("-")[0]]


def order_id(slug: str) -> str:
    """The Amazon order id (3-7-7 digits) of the scenario's order `slug`; always the same."""
    number = int.from_bytes(hashlib.sha256(slug.encode()).digest()[:8], "big") % 10**14
    digits = f"{number:014d}"
    return f"{market_of(slug).order_prefix}-{digits[:7]}-{digits[7:]}"


def item_id(slug: str, line_number: int) -> str:
    """The Amazon order item id of the order's line, counted from 1."""
    return order_id(slug).replace("-", "")[3:15] + f"{line_number:02d}"


def build_order(
    slug: str,
    buyer: Person,
    lines: tuple[Line, ...],
    created_at: datetime,
    *,
    status: str = "UNSHIPPED",
    fulfilled_by: str = "MERCHANT",
    service: str = "STANDARD",
    updated_after: timedelta = timedelta(),
    parts: Document | None = None,
) -> Document:
    """A full order document. All of its lines are shipped if `status` is SHIPPED, otherwise none."""
    market = market_of(slug)
    items = [_item(slug, market, number, line, status == "SHIPPED") for number, line in enumerate(lines, 1)]
    order: Document = {
        "orderId": order_id(slug),
        "createdTime": format_time(created_at),
        "lastUpdatedTime": format_time(created_at + updated_after),
        "programs": [],
        "associatedOrders": [],
        "salesChannel": {
            "channelName": "AMAZON",
            "marketplaceId": market.marketplace_id,
            "marketplaceName": market.name,
        },
        "buyer": _buyer(slug, market, buyer),
        "recipient": {"deliveryAddress": _address(buyer)},
        "proceeds": _order_proceeds(market, items),
        "fulfillment": {
            "fulfillmentStatus": status,
            "fulfilledBy": fulfilled_by,
            "fulfillmentServiceLevel": service,
            "shipByWindow": _window(created_at, 0, 2),
            "deliverByWindow": _window(created_at, 3, 7),
        },
        "orderItems": items,
    }
    return order | (parts or {})


def line(sku: str, quantity: int, amount: str, **details: Any) -> Line:
    """A line with the title that the catalog has for its SKU; `details` as in Line."""
    return Line(sku, TITLES[sku], quantity, amount, **details)


def ago(start: datetime, hours: int) -> datetime:
    """The moment `hours` before the start of the scenario."""
    return start - timedelta(hours=hours)


def seed(slug: str, buyer: Person, lines: tuple[Line, ...], created_at: datetime, **details: Any) -> AmazonOrderSeed:
    """An order that Amazon does not change by itself later; `details` as in build_order."""
    return AmazonOrderSeed(market_of(slug).seller_id, build_order(slug, buyer, lines, created_at, **details))


def pending(market: Market, order: Document, *changes: AmazonChange, status: str = "PENDING") -> AmazonOrderSeed:
    """The order while Amazon waits for the payment: without amounts, until `changes` add them."""
    waiting = without_money(order)
    waiting["fulfillment"] = waiting["fulfillment"] | {"fulfillmentStatus": status}
    return AmazonOrderSeed(market.seller_id, waiting, changes)


def without_money(order: Document) -> Document:
    """The order while the payment is pending: no proceeds, no prices."""
    items = [
        {name: value for name, value in item.items() if name not in ("proceeds", "tax")}
        | {"product": {name: value for name, value in item["product"].items() if name != "price"}}
        for item in order["orderItems"]
    ]
    return {name: value for name, value in order.items() if name != "proceeds"} | {"orderItems": items}


def money_patch(order: Document) -> Document:
    """The change that adds proceeds and prices to an order without amounts."""
    items = [
        {"orderItemId": item["orderItemId"], "product": {"price": item["product"]["price"]}}
        | {name: item[name] for name in ("proceeds", "tax") if name in item}
        for item in order["orderItems"]
    ]
    return {"proceeds": order["proceeds"], "orderItems": items}


def package(order: Document, number: int, shipped_at: datetime, carrier: str, tracking: str, *lines: int) -> Document:
    """A package with all units of the given lines of the order (counted from 1; by default all lines)."""
    items = [order["orderItems"][line - 1] for line in lines] if lines else order["orderItems"]
    return {
        "packageReferenceId": str(number),
        "createdTime": format_time(shipped_at),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": carrier,
        "shipTime": format_time(shipped_at),
        "trackingNumber": tracking,
        "packageItems": [{"orderItemId": item["orderItemId"], "quantity": item["quantityOrdered"]} for item in items],
    }


def shipped_patch(order: Document) -> Document:
    """The change that ships everything."""
    return {"fulfillment": {"fulfillmentStatus": "SHIPPED"}, "orderItems": _quantities(order, is_shipped=True)}


def canceled_patch(order: Document, by: str, reason: str) -> Document:
    """The change that cancels the whole order."""
    execution = {"cancellation": {"cancellationExecution": {"cancelledBy": by, "cancelReason": reason}}}
    items = [{"orderItemId": item["orderItemId"]} | execution for item in order["orderItems"]]
    return {"fulfillment": {"fulfillmentStatus": "CANCELLED"}, "orderItems": items}


def canceled_line(amazon_item_id: str, left: int, *, by: str = "BUYER") -> Document:
    """What Amazon changes of an unshipped line when all but `left` of its units are canceled."""
    return {
        "orderItemId": amazon_item_id,
        "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": left},
        "cancellation": {"cancellationExecution": {"cancelledBy": by}},
    }


def money(market: Market, amount: Decimal) -> Document:
    """An amount in Amazon's format: a string with the currency's decimals."""
    rounded = amount.quantize(Decimal(1).scaleb(-market.decimals), ROUND_HALF_UP)
    return {"amount": str(rounded), "currencyCode": market.currency_code}


def _quantities(order: Document, *, is_shipped: bool) -> list[Document]:
    return [
        {
            "orderItemId": item["orderItemId"],
            "fulfillment": {
                "quantityFulfilled": item["quantityOrdered"] if is_shipped else 0,
                "quantityUnfulfilled": 0 if is_shipped else item["quantityOrdered"],
            },
        }
        for item in order["orderItems"]
    ]


def _item(slug: str, market: Market, number: int, line: Line, is_shipped: bool) -> Document:
    item: Document = {
        "orderItemId": item_id(slug, number),
        "quantityOrdered": line.quantity,
        "product": {
            "asin": "B0" + hashlib.sha256(line.sku.encode()).hexdigest()[:8].upper(),
            "title": line.title,
            "sellerSku": line.sku,
            "condition": {"conditionType": "NEW", "conditionSubtype": "NEW", "conditionNote": ""},
            "price": {"unitPrice": money(market, Decimal(line.amount) / line.quantity)},
        },
        "proceeds": _item_proceeds(market, line),
        "fulfillment": {
            "quantityFulfilled": line.quantity if is_shipped else 0,
            "quantityUnfulfilled": 0 if is_shipped else line.quantity,
        },
    }
    if market is US:
        item["tax"] = {
            "taxCollections": [{"model": "MARKETPLACE_FACILITATOR", "responsibleParty": "Amazon Services, Inc."}]
        }
    for name, value in line.parts.items():
        item[name] = item[name] | value if isinstance(value, dict) and name in item else value
    return item


def _item_proceeds(market: Market, line: Line) -> Document:
    sign = 1 if market in (US, CA) else -1
    amounts = {
        "ITEM": Decimal(line.amount),
        "SHIPPING": Decimal(line.shipping),
        "GIFT_WRAP": Decimal(line.gift_wrap),
        "DISCOUNT": -Decimal(line.discount),
    }
    share = market.tax_rate / (1 + market.tax_rate) if market.has_tax_in_prices else market.tax_rate
    taxes = {subtype: Decimal(money(market, amount * share)["amount"]) for subtype, amount in amounts.items() if amount}
    breakdowns: list[Document] = []
    for kind, amount in amounts.items():
        if kind == "DISCOUNT" and amount:
            discount = money(market, -amount * sign)
            breakdowns.append(
                {"type": kind, "subtotal": discount, "detailedBreakdowns": [{"subtype": "ITEM", "value": discount}]}
            )
        elif kind == "ITEM" or amount:
            breakdowns.append({"type": kind, "subtotal": money(market, amount)})
    tax = sum(taxes.values(), Decimal(0))
    if taxes:
        details = [{"subtype": subtype, "value": money(market, part)} for subtype, part in taxes.items()]
        breakdowns.append({"type": "TAX", "subtotal": money(market, tax), "detailedBreakdowns": details})
    total = sum(amounts.values(), Decimal(0)) + (0 if market.has_tax_in_prices else tax)
    return {"proceedsTotal": money(market, total), "breakdowns": breakdowns}


def _order_proceeds(market: Market, items: list[Document]) -> Document:
    total = sum((Decimal(item["proceeds"]["proceedsTotal"]["amount"]) for item in items), Decimal(0))
    by_type: dict[str, Decimal] = {}
    for item in items:
        for part in item["proceeds"]["breakdowns"]:
            by_type[part["type"]] = by_type.get(part["type"], Decimal(0)) + Decimal(part["subtotal"]["amount"])
    breakdowns = [{"type": kind, "subtotal": money(market, amount)} for kind, amount in by_type.items()]
    return {"grandTotal": money(market, total), "breakdowns": breakdowns}


def _buyer(slug: str, market: Market, person: Person) -> Document:
    alias = hashlib.sha256(f"{slug} buyer".encode()).hexdigest()[:14]
    buyer = {"buyerName": person.name, "buyerEmail": f"{alias}@marketplace.{market.email_domain}"}
    return buyer | ({"buyerCompanyName": person.company} if person.company else {})


def _address(person: Person) -> Document:
    parts = {
        "name": person.name,
        "companyName": person.company,
        "addressLine1": person.street,
        "city": person.city,
        "stateOrRegion": person.region,
        "postalCode": person.postal_code,
        "countryCode": person.country_code,
        "phone": person.phone,
        "addressType": "COMMERCIAL" if person.company else "RESIDENTIAL",
    }
    return {name: value for name, value in parts.items() if value}


def _window(created_at: datetime, first_day: int, last_day: int) -> Document:
    return {
        "earliestDateTime": format_time(created_at + timedelta(days=first_day)),
        "latestDateTime": format_time(created_at + timedelta(days=last_day)),
    }
