"""Orders of the walked road that are shipped in Commerce, and what Amazon has of their packages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

ONE, TWO = order_id(1), order_id(2)
UPS, FEDEX = ("ups", "UPS", "1Z1"), ("fedex", "Federal Express", "770002")


def create(road: Road, lines: dict[str, int], one: str = ONE, **changes: Any) -> list[str]:
    """An order of these lines that is in Commerce; its Amazon item ids."""
    document = amazon_order(one, lines, at=road.sandbox.clock.now()) | changes
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.pass_time(minutes=10)
    road.orders_run()
    assert road.value("select state from ops.order_outbox where amazon_order_id = :id", id=one) == "created"
    return [item["orderItemId"] for item in document["orderItems"]]


def ship(road: Road, *tracks: tuple[str, str, str], one: str = ONE, units: dict[str, Decimal] | None = None) -> int:
    """The warehouse ships these units (item id -> units), or all; the shipment's id."""
    return road.sandbox.commerce.ship(one, units, tracks)


def tell_amazon(road: Road) -> None:
    """Push, let Amazon show it, and verify."""
    road.shipments_run()
    road.pass_time(minutes=3)
    road.shipments_run()


def packages(road: Road, one: str = ONE) -> list[Any]:
    statement = (
        "select * from ops.shipment_outbox where amazon_order_id = :id order by cast(package_reference_id as int)"
    )
    return road.rows(statement, id=one)


def at_amazon(road: Road, one: str = ONE) -> dict[str, tuple[str, str, dict[str, int]]]:
    """What Amazon has: number -> carrier, tracking number, units by item."""
    return {
        package["packageReferenceId"]: (
            package["carrier"],
            package["trackingNumber"],
            {item["orderItemId"]: item["quantity"] for item in package["packageItems"]},
        )
        for package in road.sandbox.amazon.order(one).get("packages", [])
    }


def told(road: Road) -> list[tuple[str, str, str]]:
    """Every confirmation that Amazon took: order, number, tracking number."""
    return [
        (one["orderId"], one["packageDetail"]["packageReferenceId"], one["packageDetail"]["trackingNumber"])
        for one in road.sandbox.amazon.confirmations
    ]
