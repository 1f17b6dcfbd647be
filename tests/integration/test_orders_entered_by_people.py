"""A Commerce order that a person has entered for an Amazon order is linked, and its lines by SKU and quantity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.scenario.orders import canceled_line
from tests.support.foreign_order import a_commerce_order_like, findings
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY, MAT = "TRAY-WALNUT", "DOORMAT-COIR"
UPS = ("ups", "UPS", "1ZA")


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def line(sku: str, qty: int, **fields: Any) -> dict[str, Any]:
    unit, total = Decimal(10), Decimal(10 * qty)
    amounts = dict.fromkeys(("price", "base_price"), unit) | dict.fromkeys(("row_total", "base_row_total"), total)
    return {"sku": sku, "name": sku, "product_type": "simple", "qty_ordered": Decimal(qty)} | amounts | fields


def item_ids(road: Road) -> dict[str, str]:
    lines = road.sandbox.amazon.order(ORDER)["orderItems"]
    return {str(one["product"]["sellerSku"]): str(one["orderItemId"]) for one in lines}


def test_amazon_gets_the_right_units_when_sku_and_quantity_name_one_line_each(road: Road) -> None:
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    a_commerce_order_like(road, ORDER, items=[line(MAT.lower(), 1), line(TRAY, 2)])
    road.next_run()
    road.sandbox.commerce.ship(ORDER, None, [UPS])
    road.settle()

    (package,) = road.sandbox.amazon.order(ORDER)["packages"]
    ids = item_ids(road)
    assert sorted((one["orderItemId"], one["quantity"]) for one in package["packageItems"]) == sorted(
        [(ids[TRAY], 2), (ids[MAT], 1)]
    )
    assert (road.shown(ORDER).status, findings(road)) == ("Completed", [])


def test_amazon_gets_the_units_when_the_sku_is_mapped_and_the_product_has_parts(road: Road) -> None:
    road.change_store("Acme US", sku_map={MAT: TRAY})
    road.buy(ORDER, {MAT: 2})
    a_commerce_order_like(road, ORDER)
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    stored = road.sandbox.commerce.order(order["entity_id"])
    stored["items"].append(
        dict(stored["items"][0]) | {"item_id": 999, "parent_item_id": stored["items"][0]["item_id"], "row_total": 0}
    )
    road.next_run()

    (row,) = road.rows("select commerce_item_id, commerce_qty from core.order_items")
    assert (row.commerce_item_id, row.commerce_qty) == (str(stored["items"][0]["item_id"]), 2)
    assert findings(road) == []


@pytest.mark.parametrize(
    "lines", [[line(TRAY, 3)], [line(TRAY, 2), line(TRAY, 2)], [line("TRAY-OAK", 2)]], ids=["quantity", "two", "sku"]
)
def test_a_person_is_asked_to_confirm_when_no_single_line_fits(road: Road, lines: list[dict[str, Any]]) -> None:
    road.buy(ORDER, {TRAY: 2})
    a_commerce_order_like(road, ORDER, items=lines)
    road.next_run()

    number = road.shown(ORDER).commerce_order_number
    assert findings(road) == ["lines_not_matched"]
    note = (
        f"Commerce order {number} was not created by this project, and it is unclear which of its lines is {TRAY}. "
        "Confirm the shipments of these products in Seller Central; they are not confirmed automatically."
    )
    assert road.shown(ORDER).order_notes.startswith(note)
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    road.sandbox.commerce.ship_order(order["entity_id"], {order["items"][0]["item_id"]: Decimal(2)}, [UPS])
    road.pass_time(minutes=10)
    road.shipments_run()

    shown = road.shown(ORDER)
    assert shown.order_notes.startswith(note)
    assert "is matched to a line on Amazon; confirm it in Seller Central." in shown.order_notes
    assert "more tracking numbers than units" not in shown.order_notes
    assert road.sandbox.amazon.order(ORDER).get("packages", []) == []

    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}})
    for _ in range(2):
        road.next_run()
        road.shipments_run()
    assert findings(road) == []
    assert road.shown(ORDER).order_notes == f"Shipped; Commerce order {number}."


def test_only_the_unclear_line_is_left_to_a_person_when_the_other_one_fits(road: Road) -> None:
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    a_commerce_order_like(road, ORDER, items=[line(TRAY, 2), line(MAT, 2)])
    road.next_run()
    road.sandbox.commerce.ship(ORDER, None, [UPS])
    for _ in range(3):
        road.pass_time(minutes=10)
        road.shipments_run()

    (package,) = road.sandbox.amazon.order(ORDER)["packages"]
    assert package["packageItems"] == [{"orderItemId": item_ids(road)[TRAY], "quantity": 2}]
    assert f"it is unclear which of its lines is {MAT}." in road.shown(ORDER).order_notes


def test_canceled_unit_is_credited_when_its_line_was_matched_by_sku(road: Road) -> None:
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    a_commerce_order_like(road, ORDER, items=[line(TRAY, 2), line(MAT, 1)])
    road.next_run()
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(item_ids(road)[MAT], 0)]})
    road.next_run()

    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    assert {one["sku"]: int(one["qty_refunded"]) for one in order["items"]} == {TRAY: 0, MAT: 1}
