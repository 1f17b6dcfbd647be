"""What is kept of Commerce's documents, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.canonical_json import canonical_json
from include.adapters.commerce.documents import (
    SHIPMENT_FIELDS,
    CatalogProduct,
    ShipmentItem,
    ShipmentTrack,
    read_product,
    read_shipment,
)

SHIPMENT = {
    "entity_id": 12,
    "increment_id": "000000012",
    "order_id": 7,
    "created_at": "2026-11-20 14:05:00",
    "updated_at": "2026-11-20 15:00:00",
    "customer_id": 3,
    "shipping_label": "JVBERi0 Planted",
    "comments": [{"entity_id": 1, "comment": "Planted: leave it with the neighbour"}],
    "extension_attributes": {"source_code": "default", "note": "Planted"},
    "packages": [{"params": {"contact": "Planted"}}],
    "items": [
        {
            "entity_id": 1,
            "parent_id": 12,
            "order_item_id": 70,
            "sku": "MUG",
            "qty": Decimal("2.0000"),
            "name": "Planted",
        }
    ],
    "tracks": [
        {
            "entity_id": 5,
            "track_number": " 1Z999 ",
            "title": "UPS Ground",
            "carrier_code": "ups",
            "created_at": "2026-11-20 14:05:00",
            "description": "Planted",
        },
        {"entity_id": 6, "track_number": None, "title": None, "carrier_code": None},
    ],
}


def test_shipment_is_in_our_words_when_it_is_read() -> None:
    shipment = read_shipment(SHIPMENT)
    assert (shipment.commerce_shipment_id, shipment.commerce_order_id) == ("12", "7")
    assert shipment.shipped_at == datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
    assert shipment.items == (ShipmentItem("70", Decimal(2)),)
    assert shipment.tracks == (ShipmentTrack("5", "ups", "UPS Ground", "1Z999"), ShipmentTrack("6", None, None, ""))


def test_shipment_loses_labels_and_comments_when_it_is_kept() -> None:
    shipment = read_shipment(SHIPMENT)
    assert set(shipment.document) == {
        "entity_id",
        "increment_id",
        "order_id",
        "created_at",
        "updated_at",
        "items",
        "tracks",
    }
    assert "Planted" not in canonical_json(shipment.document)
    assert "Planted" not in repr(shipment)
    assert shipment.document["items"] == [{"entity_id": 1, "order_item_id": 70, "sku": "MUG", "qty": Decimal(2)}]


def test_shipment_is_the_same_when_commerce_trims_it_to_what_is_asked() -> None:
    assert SHIPMENT_FIELDS == (
        "entity_id,increment_id,order_id,created_at,updated_at,items[entity_id,order_item_id,sku,qty],"
        "tracks[entity_id,track_number,title,carrier_code,created_at]"
    )
    whole = read_shipment(SHIPMENT)
    assert read_shipment(whole.document) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"entity_id": None},
        {"order_id": "x"},
        {"created_at": "2026-11-20T14:05:00Z"},
        {"created_at": None},
        {"items": [{"order_item_id": 70}]},
        {"items": [{"order_item_id": 70, "qty": "many"}]},
        {"items": {"70": 1}},
        {"tracks": [{"track_number": "1Z"}]},
        {"tracks": "1Z"},
    ],
)
def test_shipment_is_refused_when_staging_could_not_read_it(changes: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, ArithmeticError)):
        read_shipment(SHIPMENT | changes)


@pytest.mark.parametrize(
    ("type_id", "is_orderable"),
    [("simple", True), ("virtual", True), ("downloadable", True), ("bundle", False), ("configurable", False)],
)
def test_product_is_orderable_when_it_is_no_composite(type_id: str, is_orderable: bool) -> None:
    product = read_product({"id": 1, "sku": "MUG", "status": 1, "type_id": type_id})
    assert product == CatalogProduct(1, "MUG", "MUG", True, type_id, None, None, None)
    assert product.is_orderable is is_orderable
