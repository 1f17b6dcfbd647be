"""Makes Amazon order documents for tests: complete, sound, with money that adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from include.sandbox.seeds import AmazonOrderSeed

US, SELLER_US = "ATVPDKIKX0DER", "A1EXAMPLESELLER"

# Texts that stand for personal data: wherever one of them turns up outside `pii`, personal data has leaked.
MARKERS = {
    "buyerName": "Marker Buyername",
    "buyerEmail": "marker.email@marketplace.example",
    "recipient": "Marker Recipientname",
    "addressLine1": "1 Marker Streetline",
    "phone": "+1 555 0199 777",
    "postalCode": "ZQ9 7XJ",
    "giftMessage": "Marker giftmessage, with love",
}


def amazon_order(
    order_id: str,
    lines: dict[str, int] | None = None,
    *,
    status: str = "UNSHIPPED",
    fulfilled_by: str = "MERCHANT",
    unit_price: str = "10.00",
    currency: str = "USD",
    marketplace_id: str = US,
    at: datetime | None = None,
    has_money: bool = True,
) -> dict[str, Any]:
    """One order document with the given lines (seller SKU -> units), bought at `at` (default: an hour ago)."""
    created = at or datetime.now(UTC) - timedelta(hours=1)
    items = []
    total = Decimal(0)
    for number, (sku, qty) in enumerate((lines or {"MUG-STONE-BLUE": 1}).items(), start=1):
        amount = Decimal(unit_price) * qty
        total += amount
        money = {"amount": str(amount), "currencyCode": currency}
        item: dict[str, Any] = {
            "orderItemId": f"{order_id.replace('-', '')[:12]}{number:02d}",
            "quantityOrdered": qty,
            "product": {
                "asin": "B0TESTASIN",
                "title": f"Title of {sku}",
                "sellerSku": sku,
                "price": {"unitPrice": {"amount": unit_price, "currencyCode": currency}},
            },
            "fulfillment": {
                "quantityFulfilled": qty if status == "SHIPPED" else 0,
                "quantityUnfulfilled": 0 if status == "SHIPPED" else qty,
                "packing": {"giftOption": {"giftMessage": MARKERS["giftMessage"], "giftWrapLevel": "Classic"}},
            },
        }
        if has_money:
            item["proceeds"] = {"proceedsTotal": money, "breakdowns": [{"type": "ITEM", "subtotal": money}]}
        items.append(item)
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    latest = (created + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    order: dict[str, Any] = {
        "orderId": order_id,
        "createdTime": moment,
        "lastUpdatedTime": moment,
        "programs": ["PRIME"],
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": marketplace_id, "marketplaceName": "Amazon.com"},
        "buyer": {"buyerName": MARKERS["buyerName"], "buyerEmail": MARKERS["buyerEmail"]},
        "recipient": {
            "deliveryAddress": {
                "name": MARKERS["recipient"],
                "addressLine1": MARKERS["addressLine1"],
                "city": "Springfield",
                "stateOrRegion": "OR",
                "postalCode": MARKERS["postalCode"],
                "countryCode": "US",
                "phone": MARKERS["phone"],
            }
        },
        "fulfillment": {
            "fulfillmentStatus": status,
            "fulfilledBy": fulfilled_by,
            "fulfillmentServiceLevel": "STANDARD",
            "shipByWindow": {"earliestDateTime": moment, "latestDateTime": latest},
        },
        "orderItems": items,
    }
    if has_money:
        order["proceeds"] = {"grandTotal": {"amount": str(total), "currencyCode": currency}}
    return order


def seed(
    order_id: str, lines: dict[str, int] | None = None, *, seller_id: str = SELLER_US, **options: Any
) -> AmazonOrderSeed:
    """The same as something that the sandbox takes."""
    return AmazonOrderSeed(seller_id, amazon_order(order_id, lines, **options))


def order_id(number: int) -> str:
    """The test's n-th order id."""
    return f"114-{number:07d}-0000001"
