"""What Amazon cancels after the Commerce order exists is taken off there once, without mail, unless it was shipped."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.faults import Fault
from local.sandbox.scenario.orders import canceled_line
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY, MAT = "TRAY-WALNUT", "DOORMAT-COIR"
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


@pytest.fixture
def road(road: Road) -> Road:
    """The road with one created order of two trays and one mat."""
    road.with_account("acme-na")
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    road.next_run()
    return road


def in_shop(road: Road) -> Any:
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    return order


def units(road: Road, field: str) -> dict[str, int]:
    return {item["sku"]: int(item[field]) for item in in_shop(road)["items"]}


def item_id(road: Road, sku: str) -> str:
    lines = road.sandbox.amazon.order(ORDER)["orderItems"]
    return next(str(line["orderItemId"]) for line in lines if line["product"]["sellerSku"] == sku)


def cancel_units(road: Road, sku: str, left: int) -> None:
    """Amazon cancels all but `left` units of a line, as its documents show it."""
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(item_id(road, sku), left)]})


def changes(road: Road) -> list[tuple[str, str]]:
    rows = road.rows("select kind, state from ops.order_change_outbox order by planned_at, kind")
    return [(row.kind, row.state) for row in rows]


def calls(road: Road) -> tuple[int, int]:
    """How often an order was canceled and credited."""
    made = road.sandbox.commerce_faults.calls
    return made["cancelOrder"], made["refundOrder"]


def test_order_is_credited_whole_when_amazon_cancels_it_after_its_invoice(road: Road) -> None:
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()

    order = in_shop(road)
    assert (order["state"], order["status"]) == ("closed", "closed")
    assert Decimal(order["total_refunded"]) == Decimal(order["total_paid"]) > 0
    assert units(road, "qty_refunded") == {TRAY: 2, MAT: 1}
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked) == ("Canceled", False)
    assert shown.order_notes == (
        f"Amazon canceled the order; taken off Commerce order {order['increment_id']}, do not ship."
    )
    assert changes(road) == [("canceled_units", "done")]
    road.next_run()
    assert (calls(road), len(road.sandbox.commerce.orders())) == ((0, 1), 1)
    assert road.sandbox.commerce.mails == []
    with pytest.raises(CommerceRefusal):
        road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])


def test_order_is_canceled_when_it_has_neither_invoice_nor_shipment(road: Road) -> None:
    other = order_id(2)
    road.buy(other, {TRAY: 1})
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500"))
    road.run_as_airflow()
    road.sandbox.amazon.apply(other, CANCELLED)
    road.pass_time(hours=1)
    road.orders_run()

    (order,) = road.sandbox.commerce.order_by_ext_id(other)
    assert order["state"] == "canceled"
    assert not Decimal(str(order.get("total_invoiced") or 0))
    assert road.shown(other).order_notes == (
        f"Amazon canceled the order; Commerce order {order['increment_id']} was canceled."
    )
    road.next_run()
    assert calls(road) == (1, 0)


def test_nothing_is_credited_when_the_canceled_order_was_shipped(road: Road) -> None:
    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()

    assert in_shop(road)["state"] == "complete"
    assert calls(road) == (0, 0)
    assert changes(road) == [("canceled_units", "skipped")]
    assert road.shown(ORDER).order_notes == (
        "Amazon canceled the order. 3 units had been shipped in Commerce before; nothing was credited for that. "
        "Ask the buyer for a return, or contact Amazon."
    )


def test_only_what_is_not_shipped_is_credited_when_a_part_of_the_canceled_order_was_shipped(road: Road) -> None:
    road.sandbox.commerce.ship(ORDER, {item_id(road, TRAY): Decimal(1)}, [("ups", "UPS", "1ZA")])
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()

    assert units(road, "qty_refunded") == {TRAY: 1, MAT: 1}
    assert in_shop(road)["state"] == "complete"
    note = road.shown(ORDER).order_notes
    assert "do not ship. 1 unit had been shipped in Commerce before" in note


def test_canceled_line_cannot_be_shipped_when_the_rest_of_the_order_is(road: Road) -> None:
    cancel_units(road, MAT, left=0)
    road.next_run()

    assert units(road, "qty_refunded") == {TRAY: 0, MAT: 1}
    assert in_shop(road)["state"] == "processing"
    number = in_shop(road)["increment_id"]
    note = f"Amazon canceled 1 unit of {MAT}; taken off Commerce order {number}: ship only the rest."
    assert road.shown(ORDER).order_notes.startswith(note)
    with pytest.raises(CommerceRefusal):
        road.sandbox.commerce.ship(ORDER, {item_id(road, MAT): Decimal(1)}, [("ups", "UPS", "1ZB")])

    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])
    road.settle()
    (package,) = road.sandbox.amazon.order(ORDER)["packages"]
    assert package["packageItems"] == [{"orderItemId": item_id(road, TRAY), "quantity": 2}]
    shown = road.shown(ORDER)
    assert shown.status == "Completed"
    assert shown.order_notes == f"{note} Shipped; Commerce order {number}."
    assert (calls(road), road.sandbox.commerce.mails) == ((0, 1), [])


def test_one_unit_after_the_other_is_credited_when_amazon_cancels_them_one_by_one(road: Road) -> None:
    total = Decimal(in_shop(road)["grand_total"])
    for left in (1, 0):
        cancel_units(road, TRAY, left=left)
        road.next_run()
        assert units(road, "qty_refunded") == {TRAY: 2 - left, MAT: 0}
    assert [Decimal(memo["grand_total"]) for memo in road.sandbox.commerce.creditmemos] == [Decimal(10), Decimal(10)]
    cancel_units(road, MAT, left=0)
    road.next_run()
    order = in_shop(road)
    assert (order["state"], Decimal(order["total_refunded"])) == ("closed", total)
    assert changes(road) == [("canceled_units", "done")] * 3


@pytest.mark.parametrize("how", ["ordered_less", "left_the_document"])
def test_line_is_credited_when_amazon_shows_its_cancellation_in_another_way(road: Road, how: str) -> None:
    document = road.sandbox.amazon.order(ORDER)
    for line in document["orderItems"]:
        if line["product"]["sellerSku"] == MAT and how == "ordered_less":
            road.sandbox.amazon.apply(
                ORDER,
                {
                    "orderItems": [
                        {
                            "orderItemId": line["orderItemId"],
                            "quantityOrdered": 0,
                            "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": 0},
                        }
                    ]
                },
            )
    if how == "left_the_document":
        road.sandbox.amazon.remove_line(ORDER, item_id(road, MAT))
    road.next_run()
    assert units(road, "qty_refunded") == {TRAY: 0, MAT: 1}
    assert changes(road) == [("canceled_units", "done")]


def test_order_is_created_without_the_canceled_units_when_amazon_cancels_before(road: Road) -> None:
    other = order_id(2)
    road.buy(other, {TRAY: 3, MAT: 1})
    lines = road.sandbox.amazon.order(other)["orderItems"]
    patch = [canceled_line(line["orderItemId"], left, by="MERCHANT") for line, left in zip(lines, (1, 0), strict=True)]
    road.sandbox.amazon.apply(other, {"orderItems": patch})
    road.next_run()
    (order,) = road.sandbox.commerce.order_by_ext_id(other)
    assert [(item["sku"], int(item["qty_ordered"])) for item in order["items"]] == [(TRAY, 1)]
    road.next_run()
    assert (changes(road), calls(road)) == ([], (0, 0))


def test_nothing_is_credited_twice_when_a_person_was_quicker(road: Road) -> None:
    cancel_units(road, MAT, left=0)
    mat = next(item["item_id"] for item in in_shop(road)["items"] if item["sku"] == MAT)
    road.sandbox.commerce.refund_order(in_shop(road)["entity_id"], {mat: Decimal(1)})
    road.next_run()
    assert units(road, "qty_refunded") == {TRAY: 0, MAT: 1}
    assert (changes(road), calls(road)) == ([("canceled_units", "done")], (0, 0))
    assert "had been changed already" in road.shown(ORDER).order_notes


def test_person_is_asked_when_commerce_refuses_to_credit(road: Road) -> None:
    stored = road.sandbox.commerce.order(in_shop(road)["entity_id"])
    stored["state"] = stored["status"] = "holded"
    cancel_units(road, MAT, left=0)
    road.next_run()
    assert changes(road) == [("canceled_units", "rejected")]
    assert "A credit memo cannot be created when an order has its present status" in road.shown(ORDER).order_notes
    stored["state"] = stored["status"] = "processing"
    road.pass_time(hours=1)
    road.next_run()
    assert changes(road) == [("canceled_units", "done")]
    assert units(road, "qty_refunded") == {TRAY: 0, MAT: 1}


def test_canceled_units_are_free_for_other_orders_when_they_are_taken_off(road: Road) -> None:
    allocated = "select ordered_qty - canceled_qty as qty, commerce_qty from core.order_items where seller_sku = :sku"
    cancel_units(road, TRAY, left=0)
    road.next_run()
    (row,) = road.rows(allocated, sku=TRAY)
    assert (row.qty, row.commerce_qty) == (0, 0)
