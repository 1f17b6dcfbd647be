"""Commerce orders that somebody else has put into the shop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.support.road import Road

BILLING_ADDRESS = {
    "firstname": "Some",
    "lastname": "Body",
    "street": ["1 Road"],
    "city": "Springfield",
    "postcode": "97477",
    "country_id": "US",
    "telephone": "5550100",
    "email": "somebody@example.com",
}


def a_commerce_order_like(road: Road, ext_order_id: str, *, price: str = "10.00", **changes: object) -> int:
    """Put an order for two trays into the shop, as somebody else would, and return its id."""
    unit, total = Decimal(price), 2 * Decimal(price)
    document: dict[str, Any] = {
        "ext_order_id": ext_order_id,
        "base_currency_code": "USD",
        "order_currency_code": "USD",
        "state": "new",
        "status": "pending",
        "customer_email": "somebody@example.com",
        "billing_address": BILLING_ADDRESS,
        "payment": {"method": "purchaseorder"},
        "items": [
            {"sku": "TRAY-WALNUT", "name": "Walnut Serving Tray", "product_type": "simple", "qty_ordered": Decimal(2)}
            | dict.fromkeys(("price", "base_price"), unit)
            | dict.fromkeys(("row_total", "base_row_total"), total)
        ],
    }
    for name in ("grand_total", "subtotal", "total_due"):
        document |= {name: total, f"base_{name}": total}
    return int(road.sandbox.commerce.add_order(document | changes)["entity_id"])


def findings(road: Road) -> list[str]:
    """What is flagged, except that an order that a person enters in the shop has another total than Amazon's."""
    rows = road.rows("select finding_code from reporting.flagged_orders order by 1")
    return [row.finding_code for row in rows if row.finding_code != "commerce_total_differs"]
