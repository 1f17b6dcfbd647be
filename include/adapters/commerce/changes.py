"""What happened to a shop's orders: shipments with their tracks, new orders, and orders that have ended.

Commerce moves no time stamp when a track is added, changed or deleted later (the shipment itself is not written,
Magento_Sales `Shipment\\Relation`), and tracks have no search of their own (openapi-admin-2.4.9: POST and DELETE only).
So a search by time finds new shipments, and only asking by order finds what became of their tracks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import (
    ORDER_FIELDS,
    SHIPMENT_FIELDS,
    CommerceOrder,
    CommerceShipment,
    read_id,
    read_number,
    read_order,
    read_shipment,
)
from include.adapters.commerce.search import Filter, batches

log = logging.getLogger(__name__)

# Nothing is left to ship of an order in one of these states.
_ENDED_STATES = "complete,closed,canceled"


@dataclass(frozen=True)
class SeenOrder:
    """One order of a search: its entity_id and its ext_order_id.

    `has_ended`: nothing is left to ship of it. `is_taken_back`: it was canceled, or something of it was refunded.
    """

    order_id: str
    ext_order_id: str
    has_ended: bool
    is_taken_back: bool


def shipments_of(client: CommerceClient, commerce_order_ids: Sequence[str]) -> list[CommerceShipment]:
    """The shipments of these orders, oldest first; at most as many ids as fit into one request (`batches`).

    A shipment that cannot be read is logged and left out, here and in `changed_shipments`.
    """
    groups: list[list[Filter]] = [[("order_id", "in", ",".join(commerce_order_ids))]]
    return [shipment for page in _shipment_pages(client, groups) for shipment in page]


def shipments_there(client: CommerceClient, shipment_ids: Sequence[str]) -> set[str]:
    """Those of the shipments that the shop has, readable or not."""
    there: set[str] = set()
    for batch in batches(shipment_ids):
        groups: list[list[Filter]] = [[("entity_id", "in", ",".join(batch))]]
        for page in client.pages(
            "searchShipments", "shipments", groups, "entity_id", lambda row: str(row["entity_id"])
        ):
            there |= set(page.values())
    return there


def changed_shipments(
    client: CommerceClient, since: datetime, before: datetime | None = None
) -> Iterator[list[CommerceShipment]]:
    """Pages of the shipments, of any order, that were made or changed in this time (aware, UTC)."""
    return _shipment_pages(client, _changed(since, before))


def new_and_ended_orders(
    client: CommerceClient, since: datetime, before: datetime | None = None
) -> Iterator[list[SeenOrder]]:
    """Pages of the orders with an Amazon id that changed in this time: those that are new, have ended or lost units."""
    either: list[Filter] = [
        ("state", "in", _ENDED_STATES),
        ("created_at", "gteq", _text(since)),
        ("total_refunded", "gt", "0"),
    ]
    groups = [*_changed(since, before), [("ext_order_id", "notnull", "1")], either]
    yield from _seen_orders(client, groups)


def orders_with_ids(client: CommerceClient, commerce_order_ids: Sequence[str]) -> list[SeenOrder]:
    """Those of the orders that the shop still has; at most as many ids as fit into one request."""
    groups: list[list[Filter]] = [[("entity_id", "in", ",".join(commerce_order_ids))]]
    return [order for page in _seen_orders(client, groups) for order in page]


def _seen_orders(client: CommerceClient, groups: list[list[Filter]]) -> Iterator[list[SeenOrder]]:
    fields = "entity_id,ext_order_id,state,total_refunded"
    for page in client.pages("searchOrders", "orders", groups, fields, _seen_order):
        yield list(page.values())


def orders_for(client: CommerceClient, amazon_order_ids: Sequence[str]) -> dict[str, list[CommerceOrder]]:
    """All orders that the shop has for each of these Amazon orders, oldest first."""
    found: dict[str, list[CommerceOrder]] = {order_id: [] for order_id in amazon_order_ids}
    for batch in batches(amazon_order_ids):
        groups: list[list[Filter]] = [[("ext_order_id", "in", ",".join(batch))]]
        for page in client.pages("searchOrders", "orders", groups, ORDER_FIELDS, read_order):
            for _, order in sorted(page.items()):
                if order.ext_order_id in found:
                    found[order.ext_order_id].append(order)
    return found


def _seen_order(row: dict[str, Any]) -> SeenOrder:
    state = row.get("state")
    return SeenOrder(
        order_id=read_id(row["entity_id"]),
        ext_order_id=str(row.get("ext_order_id") or ""),
        has_ended=state in _ENDED_STATES.split(","),
        is_taken_back=state in ("closed", "canceled") or read_number(row.get("total_refunded") or 0) > 0,
    )


def _shipment_pages(client: CommerceClient, groups: list[list[Filter]]) -> Iterator[list[CommerceShipment]]:
    for page in client.pages("searchShipments", "shipments", groups, SHIPMENT_FIELDS, _shipment_or_none):
        yield [shipment for shipment in page.values() if shipment is not None]


def _shipment_or_none(row: Any) -> CommerceShipment | None:
    """None for a shipment that cannot be read: one bad document must not hold those on its page."""
    try:
        return read_shipment(row)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        ids = {name: row.get(key) for name, key in (("shipment", "entity_id"), ("order", "order_id"))}
        what = " of ".join(f"{name} {value}" for name, value in ids.items() if str(value).isdigit())
        log.warning("commerce searchShipments: %s cannot be read and is left out", what or "a shipment")
        return None


def _changed(since: datetime, before: datetime | None) -> list[list[Filter]]:
    # `updated_at` begins as `created_at`.
    ends = [("gteq", since)] if before is None else [("gteq", since), ("lt", before)]
    return [[("updated_at", condition, _text(moment))] for condition, moment in ends]


def _text(moment: datetime) -> str:
    """As Commerce stores and compares moments: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
