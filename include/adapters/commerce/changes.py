"""What happened to a shop's orders: shipments with their tracks, and orders that have ended.

Commerce moves no time stamp when a track is added, changed or deleted later (the shipment itself is not written,
Magento_Sales `Shipment\\Relation`), and tracks have no search of their own (openapi-admin-2.4.9: POST and DELETE only).
So a search by time finds new shipments, and only asking by order finds what became of their tracks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import (
    SHIPMENT_FIELDS,
    CommerceShipment,
    read_id,
    read_shipment,
)
from include.adapters.commerce.search import Filter

log = logging.getLogger(__name__)

# Nothing is left to ship of an order in one of these states.
_ENDED_STATES = "complete,closed,canceled"


def shipments_of(client: CommerceClient, commerce_order_ids: Sequence[str]) -> list[CommerceShipment]:
    """The shipments of these orders, oldest first; at most as many ids as fit into one request (`batches`).

    A shipment that cannot be read is logged and left out, here and in `changed_shipments`.
    """
    groups: list[list[Filter]] = [[("order_id", "in", ",".join(commerce_order_ids))]]
    return [shipment for page in _shipment_pages(client, groups) for shipment in page]


def changed_shipments(
    client: CommerceClient, since: datetime, before: datetime | None = None
) -> Iterator[list[CommerceShipment]]:
    """Pages of the shipments, of any order, that were made or changed in this time (aware, UTC)."""
    return _shipment_pages(client, _changed(since, before))


def ended_orders_since(client: CommerceClient, since: datetime, before: datetime | None = None) -> Iterator[list[str]]:
    """Pages of the ids of orders with an Amazon id that changed in this time and are complete, closed or canceled."""
    return _ended_orders(client, [*_changed(since, before), [("ext_order_id", "notnull", "1")]])


def ended_orders_of(client: CommerceClient, commerce_order_ids: Sequence[str]) -> list[str]:
    """Those of the orders that are complete, closed or canceled; at most as many ids as fit into one request."""
    groups: list[list[Filter]] = [[("entity_id", "in", ",".join(commerce_order_ids))]]
    return [order_id for page in _ended_orders(client, groups) for order_id in page]


def _ended_orders(client: CommerceClient, groups: list[list[Filter]]) -> Iterator[list[str]]:
    ended: list[Filter] = [("state", "in", _ENDED_STATES)]
    for page in client.pages("searchOrders", "orders", [*groups, ended], "entity_id", lambda row: row["entity_id"]):
        yield [read_id(entity_id) for entity_id in page]


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
