"""The documents of Commerce shipments: definition sales-data-shipment-interface of Adobe's OpenAPI document 2.4.9."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Document = dict[str, Any]
NextId = Callable[[str], int]
Track = tuple[str, str, str]  # carrier_code, title, track_number

_COPIED = ("name", "sku", "price", "weight", "product_id")


def new_shipment(
    order: Document, taken: Mapping[int, Decimal], source_code: str, number: str, next_id: NextId, now: str
) -> Document:
    """A shipment of `taken` (order item id -> quantity), without tracks. Commerce stores no shipping date."""
    shipment_id = next_id("shipment")
    items = [
        {field: item[field] for field in _COPIED if field in item}
        | {"entity_id": next_id("shipment item"), "parent_id": shipment_id}
        | {"order_item_id": item["item_id"], "qty": taken[item["item_id"]]}
        for item in order["items"]
        if item["item_id"] in taken
    ]
    shipment = {
        "entity_id": shipment_id,
        "increment_id": number,
        "order_id": order["entity_id"],
        "store_id": order["store_id"],
        "billing_address_id": order["billing_address_id"],
        "total_qty": sum(taken.values(), Decimal(0)),
        "created_at": now,
        "updated_at": now,
        "items": items,
        "tracks": [],
        "comments": [],
        "packages": [],
        "extension_attributes": {"source_code": source_code},
    }
    for assignment in order["extension_attributes"]["shipping_assignments"]:
        if "address" in assignment["shipping"]:
            shipment["shipping_address_id"] = assignment["shipping"]["address"]["entity_id"]
    return shipment


def append_track(shipment: Document, track: Track, next_id: NextId, now: str) -> Document:
    """Add a track to `shipment` and return it. As in Commerce, the shipment's updated_at does not change."""
    carrier_code, title, number = track
    stored = {
        "entity_id": next_id("track"),
        "order_id": shipment["order_id"],
        "parent_id": shipment["entity_id"],
        "created_at": now,
        "updated_at": now,
        "weight": None,
        "qty": None,
        "description": None,
        "carrier_code": carrier_code,
        "title": title,
        "track_number": number,
    }
    shipment["tracks"].append(stored)
    return stored


def append_comment(shipment: Document, comment: str, next_id: NextId, now: str, *, notify: bool) -> None:
    """Add a comment to `shipment`."""
    numbered = {"entity_id": next_id("shipment comment"), "parent_id": shipment["entity_id"], "created_at": now}
    shown = {"comment": comment, "is_customer_notified": int(notify), "is_visible_on_front": 0}
    shipment["comments"].append(numbered | shown)
