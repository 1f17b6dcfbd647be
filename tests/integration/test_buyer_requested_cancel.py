"""A buyer who asks to cancel: the order is not created, or put on hold in Commerce until the request is gone."""

from __future__ import annotations

from typing import Any

import pytest

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.scenario.orders import canceled_line
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY, MAT = "TRAY-WALNUT", "DOORMAT-COIR"
UPS = ("ups", "UPS", "1ZA")
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


@pytest.fixture
def created(road: Road) -> Road:
    """The road with one created order."""
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    road.next_run()
    return road


def ask(road: Road, sku: str = TRAY, one: str = ORDER) -> None:
    """The buyer asks to cancel a line."""
    request = {"cancellationRequest": {"requester": "BUYER", "cancelReason": "No longer needed"}}
    road.sandbox.amazon.apply(one, {"orderItems": [{"orderItemId": line_id(road, sku, one), "cancellation": request}]})


def take_back(road: Road, sku: str = TRAY, one: str = ORDER) -> None:
    """The request is not in Amazon's document any more."""
    road.sandbox.amazon.apply(one, {"orderItems": [{"orderItemId": line_id(road, sku, one), "cancellation": None}]})


def line_id(road: Road, sku: str, one: str) -> str:
    lines = road.sandbox.amazon.order(one)["orderItems"]
    return next(str(line["orderItemId"]) for line in lines if line["product"]["sellerSku"] == sku)


def in_shop(road: Road) -> Any:
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    return order


def calls(road: Road) -> tuple[int, int]:
    made = road.sandbox.commerce_faults.calls
    return made["holdOrder"], made["unholdOrder"]


def changes(road: Road) -> list[tuple[str, str]]:
    # The reason that a buyer gives is personal, so the contact changes too; that the address stays is seen elsewhere.
    query = "select kind, state from ops.order_change_outbox where kind <> 'address' order by planned_at, kind"
    rows = road.rows(query)
    return [(row.kind, row.state) for row in rows]


def test_order_is_blocked_until_the_request_is_gone_when_the_buyer_asks_before_it_is_created(road: Road) -> None:
    road.buy(ORDER, {TRAY: 2, MAT: 1})
    ask(road)
    road.next_run()

    shown = road.shown(ORDER)
    assert (shown.status, shown.blocker_codes) == ("Error", ["buyer_requested_cancel"])
    assert shown.order_notes == (
        f"The buyer asked to cancel {TRAY}. Cancel it in Seller Central; if you ship it instead, confirm the shipment "
        "there."
    )
    assert road.sandbox.commerce.orders() == []

    take_back(road)
    road.next_run()
    assert road.shown(ORDER).blocker_codes == []
    assert in_shop(road)["state"] == "processing"
    assert calls(road) == (0, 0)


def test_order_is_created_when_it_was_shipped_in_spite_of_the_request(road: Road) -> None:
    road.buy(ORDER, {TRAY: 2}, status="SHIPPED")
    ask(road)
    road.next_run()

    assert len(road.sandbox.commerce.orders()) == 1


def test_order_cannot_be_shipped_until_the_request_is_gone_when_the_buyer_asks_after_its_creation(
    created: Road,
) -> None:
    road = created
    ask(road)
    road.next_run()

    number = in_shop(road)["increment_id"]
    assert (in_shop(road)["state"], changes(road), calls(road)) == ("holded", [("hold", "done")], (1, 0))
    assert road.shown(ORDER).order_notes == (
        f"The buyer asked to cancel; Commerce order {number} was put on hold. Cancel it in Seller Central, or release "
        f"it in Commerce to ship it. Created in Commerce as {number}."
    )
    with pytest.raises(CommerceRefusal):
        road.sandbox.commerce.ship(ORDER, None, [UPS])
    road.next_run()
    assert calls(road) == (1, 0)

    take_back(road)
    road.next_run()
    road.next_run()
    assert (in_shop(road)["state"], calls(road)) == ("processing", (1, 1))
    assert road.shown(ORDER).order_notes == (
        f"The buyer's request to cancel is gone; Commerce order {number} is released from hold. "
        f"Created in Commerce as {number}."
    )
    road.sandbox.commerce.ship(ORDER, None, [UPS])
    road.settle()
    assert road.shown(ORDER).status == "Completed"
    assert road.sandbox.commerce.mails == []


def test_order_is_released_and_credited_when_amazon_cancels_it_after_the_request(created: Road) -> None:
    road = created
    ask(road)
    road.next_run()
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()

    assert in_shop(road)["state"] == "closed"
    assert set(changes(road)) == {("hold", "done"), ("release", "done"), ("canceled_units", "done")}
    assert "taken off Commerce order" in road.shown(ORDER).order_notes


def test_order_is_released_when_only_the_line_of_the_request_is_canceled(created: Road) -> None:
    road = created
    ask(road, MAT)
    road.next_run()
    assert in_shop(road)["state"] == "holded"
    line = canceled_line(line_id(road, MAT, ORDER), 0, by="MERCHANT")
    road.sandbox.amazon.apply(ORDER, {"orderItems": [line]})
    road.next_run()

    assert in_shop(road)["state"] == "processing"
    assert {item["sku"]: int(item["qty_refunded"]) for item in in_shop(road)["items"]} == {TRAY: 0, MAT: 1}


def test_order_is_not_held_again_when_a_person_releases_it(created: Road) -> None:
    road = created
    ask(road)
    road.next_run()
    road.sandbox.commerce.hold_order(in_shop(road)["entity_id"], is_released=True)
    road.next_run()
    assert (in_shop(road)["state"], calls(road)) == ("processing", (1, 0))
    road.sandbox.commerce.ship(ORDER, None, [UPS])
    road.settle()
    assert (road.shown(ORDER).status, calls(road)) == ("Completed", (1, 0))


def test_hold_of_a_person_stays_when_the_request_is_gone(created: Road) -> None:
    road = created
    road.sandbox.commerce.hold_order(in_shop(road)["entity_id"])
    ask(road)
    road.next_run()
    take_back(road)
    road.next_run()

    assert (in_shop(road)["state"], calls(road)) == ("holded", (0, 0))


def test_nothing_is_held_when_the_order_is_shipped_already(created: Road) -> None:
    road = created
    road.sandbox.commerce.ship(ORDER, None, [UPS])
    ask(road)
    road.next_run()

    assert (changes(road), calls(road)) == ([("hold", "skipped")], (0, 0))
    note = f"The buyer asked to cancel; nothing is left to ship of Commerce order {in_shop(road)['increment_id']}."
    assert note in road.shown(ORDER).order_notes


@pytest.mark.parametrize("operation", ["holdOrder", "unholdOrder"])
def test_order_is_held_and_released_once_when_its_call_meets_each_fault(road: Road, operation: str) -> None:
    kinds: list[FaultKind] = ["lost_reply", "broken_json", "dropped", "html_500", "throttle"]
    ids = [order_id(number) for number in range(1, len(kinds) + 1)]
    for one in ids:
        road.buy(one, {TRAY: 1})
    road.next_run()
    for change, name in ((ask, "holdOrder"), (take_back, "unholdOrder")):
        for one, kind in zip(ids, kinds, strict=True):
            change(road, TRAY, one)
            if name == operation:
                road.sandbox.commerce_faults.add(Fault(name, kind, retry_after=30))
            road.run_as_airflow()
            assert road.sandbox.commerce_faults.pending() == [], f"{kind} was not met"
        for _ in range(3):
            road.pass_time(hours=1)
            road.run_as_airflow()
        states = {order["state"] for order in road.sandbox.commerce.orders()}
        assert states == ({"holded"} if name == "holdOrder" else {"processing"})
    assert {row.state for row in road.rows("select state from ops.order_change_outbox")} == {"done"}
