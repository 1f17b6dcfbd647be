"""What comes between a shipment and its confirmation: quantities, cancel requests, spelling, many orders at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.faults import Fault
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.shipping import FEDEX, ONE, TWO, UPS, at_amazon, create, packages, ship, tell_amazon, told

pytestmark = pytest.mark.usefixtures("plain_rules")


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def states(road: Road, one: str = ONE) -> list[tuple[str, str | None]]:
    return [(package.state, package.last_error_code) for package in packages(road, one)]


def confirm_elsewhere(road: Road, item: str, units: int, left: int) -> None:
    """The merchant confirms some units in Seller Central before this pipeline does."""
    line = {"orderItemId": item, "fulfillment": {"quantityFulfilled": units, "quantityUnfulfilled": left}}
    package = {
        "packageReferenceId": "77",
        "carrier": "UPS",
        "trackingNumber": "1Z7",
        "packageItems": [{"orderItemId": item, "quantity": units}],
    }
    status = "PARTIALLY_SHIPPED" if left else "SHIPPED"
    road.sandbox.amazon.apply(
        ONE, {"fulfillment": {"fulfillmentStatus": status}, "orderItems": [line], "packages": [package]}
    )


def test_the_package_gets_what_is_left_when_amazon_refuses_its_quantity(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 3})
    ship(road, UPS)
    confirm_elsewhere(road, item, 2, 1)
    road.shipments_run()
    assert states(road) == [("in_doubt", "refused_quantity")]
    assert "Amazon" in road.shown(ONE).order_notes
    road.pass_time(minutes=3)
    road.shipments_run()
    assert states(road) == [("planned", "refused_quantity")]
    tell_amazon(road)

    assert at_amazon(road)["1"] == ("UPS", "1Z1", {item: 1})
    assert states(road) == [("accepted", None)]
    assert road.sandbox.amazon.order(ONE)["fulfillment"]["fulfillmentStatus"] == "SHIPPED"


def test_a_person_is_asked_when_amazon_refuses_its_quantity_and_nothing_is_left(road: Road) -> None:
    first, _ = create(road, {"TRAY-WALNUT": 2, "DOORMAT-COIR": 1})
    ship(road, UPS, units={first: Decimal(2)})
    confirm_elsewhere(road, first, 2, 0)
    road.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "PARTIALLY_SHIPPED"}})
    tell_amazon(road)

    assert states(road) == [("rejected", "refused_quantity")]
    assert "none of its units (2) is left" in road.shown(ONE).order_notes
    calls = road.sandbox.amazon_faults.calls["confirmShipment"]
    tell_amazon(road)
    assert road.sandbox.amazon_faults.calls["confirmShipment"] == calls == 1


def test_the_package_is_accepted_when_amazon_spells_its_number_differently(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    ship(road, ("ups", "UPS", "1z 999-aa"))
    road.shipments_run()
    (shown,) = road.sandbox.amazon.order(ONE)["packages"]
    road.sandbox.amazon.apply(ONE, {"packages": [shown | {"trackingNumber": "1Z999AA"}]})
    road.pass_time(minutes=3)
    road.shipments_run()
    assert states(road) == [("accepted", None)]


def ask_to_cancel(road: Road, item: str, request: Any) -> None:
    change = {"orderItemId": item, "cancellation": request and {"cancellationRequest": request}}
    road.sandbox.amazon.apply(ONE, {"orderItems": [change]})


def test_the_package_waits_when_the_buyer_asks_to_cancel_before_it_is_confirmed(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    ask_to_cancel(road, item, {"requester": "BUYER", "cancelReason": "No longer needed"})
    road.next_run()
    road.shipments_run()
    assert (states(road), told(road)) == ([("planned", "buyer_requested_cancel")], [])
    assert "The buyer asked to cancel" in road.shown(ONE).order_notes

    ask_to_cancel(road, item, None)
    road.next_run()
    tell_amazon(road)
    assert (states(road), told(road)) == ([("accepted", None)], [(ONE, "1", "1Z1")])


def test_the_package_is_confirmed_when_the_seller_lets_it_go_in_spite_of_the_request(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    ask_to_cancel(road, item, {"requester": "BUYER", "cancelReason": "No longer needed"})
    road.next_run()
    road.shipments_run()
    assert told(road) == []
    road.pass_time(hours=4)
    tell_amazon(road)
    assert (states(road), told(road)) == ([("accepted", None)], [(ONE, "1", "1Z1")])


def ship_many(road: Road, count: int) -> list[str]:
    orders = [order_id(number) for number in range(1, count + 1)]
    for one in orders:
        road.buy(one, {"TRAY-WALNUT": 1})
    road.next_run()
    for one in orders:
        ship(road, (*UPS[:2], f"1Z-{one}"), one=one)
    road.shipments_run()
    road.pass_time(minutes=6)
    return orders


def reads(road: Road) -> tuple[int, int]:
    calls = road.sandbox.amazon_faults.calls
    return calls["searchOrders"], calls["getOrder"]


def test_one_listing_reads_back_many_orders_when_there_are_enough(road: Road) -> None:
    road.change_settings(shipment_listing_orders=3)
    orders = ship_many(road, 4)
    searches, gets = reads(road)
    road.shipments_run()
    assert [states(road, one) for one in orders] == [[("accepted", None)]] * 4
    assert reads(road) == (searches + 1, gets)


@pytest.mark.parametrize("kind", ["html_500", "throttle", "dropped"])
def test_each_order_is_read_when_the_listing_fails(road: Road, kind: Any) -> None:
    road.change_settings(shipment_listing_orders=3)
    orders = ship_many(road, 3)
    road.sandbox.amazon_faults.add(Fault("searchOrders", kind))
    _, gets = reads(road)
    road.shipments_run()
    assert [states(road, one) for one in orders] == [[("accepted", None)]] * 3
    assert reads(road)[1] == gets + 3


def test_only_the_order_that_the_listing_lacks_is_read_when_it_hides_one(road: Road) -> None:
    road.change_settings(shipment_listing_orders=3)
    orders = ship_many(road, 3)
    road.sandbox.amazon.hide_from_listing(TWO)
    _, gets = reads(road)
    road.shipments_run()
    assert [states(road, one) for one in orders] == [[("accepted", None)]] * 3
    assert reads(road)[1] == gets + 1


def test_no_listing_is_asked_for_when_few_orders_are_due(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    ship(road, FEDEX)
    searches, gets = reads(road)
    tell_amazon(road)
    assert reads(road) == (searches, gets + 1)


def test_the_order_is_completed_by_the_run_after_amazon_shows_it_as_shipped_when_commerce_ships_it(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    tell_amazon(road)
    (order,) = road.sandbox.commerce.order_by_ext_id(ONE)
    assert (order["state"], road.shown(ONE).status) == ("complete", "Unshipped")
    road.next_run()
    assert road.shown(ONE).status == "Shipped"
    road.next_run()
    assert road.shown(ONE).status == "Completed"
    assert road.value("select pipeline_state from core.orders where amazon_order_id = :id", id=ONE) == "completed"
