"""What a caller may see of an order: the parts requested with includedData, and the rules for personal data.

Sources: orders_2026-01-01.json (includedData) and https://developer-docs.amazon.com/sp-api/docs/access-orders-pii.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from local.sandbox.amazon.search import parse_time

_ORDER_PARTS = {
    "buyer": "BUYER",
    "recipient": "RECIPIENT",
    "proceeds": "PROCEEDS",
    "fulfillment": "FULFILLMENT",
    "packages": "PACKAGES",
    "tax": "TAX",
    "payment": "PAYMENT",
    "fulfillmentOrders": "FULFILLMENT_ORDERS",
}
_ITEM_PARTS = {
    "proceeds": "PROCEEDS",
    "expense": "EXPENSE",
    "promotion": "PROMOTION",
    "cancellation": "CANCELLATION",
    "fulfillment": "FULFILLMENT",
    "tax": "TAX",
}
_PERSONAL_ADDRESS_PARTS = (
    "name",
    "addressLine1",
    "addressLine2",
    "addressLine3",
    "postalCode",
    "phone",
    "extendedFields",
)


def view_order(
    document: dict[str, Any], included: frozenset[str], *, has_pii_role: bool, now: datetime
) -> dict[str, Any]:
    """A copy of the full order `document`, reduced to what `included` and the application's role allow at `now`."""
    order = copy.deepcopy(document)
    _hide_personal_data(order, has_pii_role, now)
    for part, unlocked_by in _ORDER_PARTS.items():
        if unlocked_by not in included:
            order.pop(part, None)
    for item in order["orderItems"]:
        for part, unlocked_by in _ITEM_PARTS.items():
            if unlocked_by not in included:
                item.pop(part, None)
    return order


def _hide_personal_data(order: dict[str, Any], has_pii_role: bool, now: datetime) -> None:
    fulfillment = order.get("fulfillment", {})
    status = fulfillment.get("fulfillmentStatus")
    is_merchant = fulfillment.get("fulfilledBy") == "MERCHANT"
    buyer = order.get("buyer", {})
    address = order.get("recipient", {}).get("deliveryAddress", {})
    if not (has_pii_role and is_merchant and status in ("UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED")):
        buyer.pop("buyerEmail", None)
    if not is_merchant or status in ("PENDING", "PENDING_AVAILABILITY"):
        order.pop("recipient", None)
    deliver_by = fulfillment.get("deliverByWindow", {}).get("latestDateTime")
    if status == "SHIPPED" and deliver_by and parse_time(deliver_by) < now:
        address.pop("phone", None)
    if not has_pii_role:
        buyer.pop("buyerName", None)
        for part in _PERSONAL_ADDRESS_PARTS:
            address.pop(part, None)
        order.get("recipient", {}).pop("deliveryPreference", None)
        for item in order["orderItems"]:
            item["product"].pop("customization", None)
            item.get("fulfillment", {}).get("packing", {}).get("giftOption", {}).pop("giftMessage", None)
    if not buyer:
        order.pop("buyer", None)
