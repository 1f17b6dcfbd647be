"""What people do to orders in the shop shows as a finding that blocks nothing, and nothing is created again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.faults import Fault
from local.sandbox.scenario.orders import canceled_line
from tests.support.foreign_order import a_commerce_order_like
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER = order_id(1), order_id(2)
TRAY = "TRAY-WALNUT"


@pytest.fixture
def road(road: Road) -> Road:
    """The road with two created orders of two trays each."""
    road.with_account("acme-na")
    for one in (ORDER, OTHER):
        road.buy(one, {TRAY: 2})
    road.next_run()
    return road


def next_run(road: Road) -> None:
    """Ten minutes later: both DAGs."""
    road.next_run()
    road.shipments_run()


def linked(road: Road, one: str = ORDER) -> Any:
    (row,) = road.rows("select * from ops.order_outbox where amazon_order_id = :id", id=one)
    return row


def findings(road: Road) -> list[tuple[str, str]]:
    """The open findings, as analysts see them."""
    rows = road.rows("select amazon_order_id, finding_code from reporting.flagged_orders order by 1, 2")
    return [(row.amazon_order_id, row.finding_code) for row in rows]


def number_of(road: Road, commerce_order_id: int) -> str:
    return next(
        str(one["increment_id"]) for one in road.sandbox.commerce.orders() if one["entity_id"] == commerce_order_id
    )


def test_second_commerce_order_is_a_finding_until_it_is_canceled_when_it_appears_after_linking(road: Road) -> None:
    next_run(road)
    second = a_commerce_order_like(road, ORDER)
    next_run(road)

    number, other = linked(road).commerce_order_number, number_of(road, second)
    assert findings(road) == [(ORDER, "duplicate_commerce_order")]
    shown = road.shown(ORDER)
    assert shown.order_notes.startswith(
        f"Commerce has another order for it, {other}, besides the linked {number}. Cancel {other} in Commerce, or "
        f"refund it if it is invoiced; only shipments of {number} reach Amazon."
    )
    assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Unshipped", False, [])
    next_run(road)
    assert findings(road) == [(ORDER, "duplicate_commerce_order")]

    assert road.sandbox.commerce.cancel_order(second)
    next_run(road)

    assert findings(road) == []
    assert road.shown(ORDER).order_notes == f"Created in Commerce as {number}."
    (episode,) = road.rows("select * from ops.blocker_episodes")
    assert (episode.severity, episode.closed_by_code) == ("warning", "solved")


def test_order_is_shipped_to_the_end_when_a_second_commerce_order_exists(road: Road) -> None:
    a_commerce_order_like(road, ORDER)
    next_run(road)
    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])
    road.settle()

    assert road.shown(ORDER).status == "Completed"
    assert findings(road) == [(ORDER, "duplicate_commerce_order")]


def test_second_commerce_order_is_found_when_the_shop_committed_it_late(road: Road) -> None:
    """Its times are those of its beginning; the search reaches back behind its watermark for such orders."""
    for _ in range(2):
        next_run(road)
    twenty_minutes_ago = road.sandbox.commerce.orders()[0]["created_at"]
    second = a_commerce_order_like(road, ORDER)
    document = road.sandbox.commerce.order(second)
    document["created_at"] = document["updated_at"] = twenty_minutes_ago
    next_run(road)

    assert findings(road) == [(ORDER, "duplicate_commerce_order")]


def test_second_commerce_order_is_a_finding_when_it_is_there_before_linking(road: Road) -> None:
    third = order_id(3)
    for _ in range(2):
        a_commerce_order_like(road, third)
    road.buy(third, {TRAY: 2})
    road.next_run()

    assert findings(road) == [(third, "duplicate_commerce_order")]


def test_no_call_is_added_when_no_order_is_suspected(road: Road) -> None:
    next_run(road)
    before = road.sandbox.commerce_faults.calls["searchOrders"]
    road.pass_time(minutes=10)
    road.shipments_run()

    assert road.sandbox.commerce_faults.calls["searchOrders"] == before + 2  # one search, one portion of the sweep


def test_second_commerce_order_is_found_later_when_the_shop_fails_meanwhile(road: Road) -> None:
    next_run(road)
    a_commerce_order_like(road, ORDER)
    road.sandbox.commerce_faults.add(Fault("searchOrders", "html_500", times=2, skip=1))
    road.pass_time(minutes=10)
    road.shipments_run_as_airflow()
    next_run(road)

    assert findings(road) == [(ORDER, "duplicate_commerce_order")]


def cancel(road: Road, order_id: int) -> None:
    """Somebody cancels an order that is not invoiced yet."""
    assert road.sandbox.commerce.cancel_order(order_id)


def delete(road: Road, order_id: int) -> None:
    road.sandbox.commerce.delete_order(order_id)


def refund(road: Road, order_id: int) -> None:
    road.sandbox.commerce.refund_order(order_id)


@pytest.mark.parametrize(
    ("end", "how"), [(delete, "deleted"), (refund, "refunded")], ids=lambda value: getattr(value, "__name__", value)
)
def test_order_is_a_finding_and_not_created_again_when_people_end_it_in_commerce(
    road: Road, end: Callable[[Road, int], None], how: str
) -> None:
    next_run(road)
    before = linked(road)
    end(road, int(before.commerce_order_id))
    next_run(road)

    assert findings(road) == [(ORDER, "ended_in_commerce")]
    shown = road.shown(ORDER)
    assert shown.order_notes == (
        f"Commerce order {before.commerce_order_number} was {how} in Commerce, but Amazon still expects its shipment. "
        "Cancel the order in Seller Central, or ship it and confirm it there; it is not created again."
    )
    assert (shown.status, shown.is_blocked) == ("Unshipped", False)
    assert linked(road).stock_released_at is not None
    for _ in range(3):
        next_run(road)
    assert road.sandbox.commerce_faults.calls["createOrder"] == 2
    assert (linked(road).commerce_order_id, findings(road)) == (
        before.commerce_order_id,
        [(ORDER, "ended_in_commerce")],
    )

    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    next_run(road)
    assert findings(road) == []
    assert road.shown(ORDER).status == "Canceled"
    assert "Amazon still expects" not in road.shown(ORDER).order_notes
    assert len(road.sandbox.commerce.orders()) == (1 if end is delete else 2)


def test_order_is_neither_invoiced_nor_created_again_when_people_cancel_it_before_its_invoice(road: Road) -> None:
    third = order_id(3)
    road.buy(third, {TRAY: 2})
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500"))
    road.run_as_airflow()
    cancel(road, int(linked(road, third).commerce_order_id))
    for _ in range(3):
        road.pass_time(hours=1)
        next_run(road)

    (order,) = road.sandbox.commerce.order_by_ext_id(third)
    assert (order["state"], int(order.get("total_invoiced") or 0)) == ("canceled", 0)
    assert findings(road) == [(third, "ended_in_commerce")]
    assert road.shown(third).order_notes.startswith(
        f"Commerce order {order['increment_id']} was canceled in Commerce, but Amazon still expects its shipment."
    )
    assert linked(road, third).finished_at is not None
    assert road.sandbox.commerce_faults.calls["createOrder"] == 3


def test_note_tells_what_is_known_when_people_delete_an_order_before_its_invoice(road: Road) -> None:
    third = order_id(3)
    road.buy(third, {TRAY: 2})
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500"))
    road.run_as_airflow()
    row = linked(road, third)
    delete(road, int(row.commerce_order_id))
    for _ in range(3):
        road.pass_time(hours=1)
        next_run(road)

    notes = road.shown(third).order_notes
    assert notes.startswith(f"Commerce order {row.commerce_order_number} was deleted in Commerce")
    assert f"Commerce order {row.commerce_order_number} is not invoiced: Commerce does not find it." in notes
    assert road.sandbox.commerce_faults.calls["createOrder"] == 3


def test_missing_units_are_a_finding_when_people_refund_a_part(road: Road) -> None:
    order = road.sandbox.commerce.order(int(linked(road).commerce_order_id))
    road.sandbox.commerce.refund_order(order["entity_id"], {order["items"][0]["item_id"]: Decimal(1)})
    next_run(road)

    assert road.shown(ORDER).order_notes.startswith(
        f"1 unit of Commerce order {order['increment_id']} was canceled or refunded in Commerce, but Amazon still "
        "expects it."
    )


def test_nothing_is_found_when_a_shipped_order_is_refunded(road: Road) -> None:
    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])
    road.settle()
    refund(road, int(linked(road).commerce_order_id))
    next_run(road)

    assert findings(road) == []


def test_nothing_is_found_when_our_own_credit_memo_follows_amazon(road: Road) -> None:
    lines = road.sandbox.amazon.order(ORDER)["orderItems"]
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(lines[0]["orderItemId"], 1)]})
    next_run(road)

    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    assert int(order["items"][0]["qty_refunded"]) == 1
    assert findings(road) == []


def test_other_order_is_named_when_people_cancel_the_linked_one_of_two(road: Road) -> None:
    second = a_commerce_order_like(road, ORDER)
    next_run(road)
    refund(road, int(linked(road).commerce_order_id))
    next_run(road)

    assert findings(road) == [(ORDER, "ended_in_commerce")]
    other = number_of(road, second)
    note = f"{other} is for it too, but not linked: confirm its shipments in Seller Central."
    assert note in road.shown(ORDER).order_notes
