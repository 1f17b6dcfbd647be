"""Shipments of Commerce go back to Amazon: every track once, with its units, and believed only when Amazon shows it."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.domain.errors import ThrottledError
from local.sandbox.faults import Fault
from tests.support.road import Road
from tests.support.shipping import FEDEX, ONE, TWO, UPS, at_amazon, create, packages, ship, tell_amazon, told

pytestmark = pytest.mark.usefixtures("plain_rules")


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def test_amazon_has_the_package_when_an_order_is_shipped_whole(road: Road) -> None:
    first, second = create(road, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    ship(road, UPS)
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {first: 1, second: 2})}
    assert [package.state for package in packages(road)] == ["accepted"]
    assert road.sandbox.amazon.order(ONE)["fulfillment"]["fulfillmentStatus"] == "SHIPPED"
    road.settle()
    assert road.shown(ONE).status == "Completed"
    assert len(told(road)) == 1


def test_units_are_shared_out_when_a_shipment_has_two_tracks(road: Road) -> None:
    first, second = create(road, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    ship(road, UPS, FEDEX)
    tell_amazon(road)

    assert at_amazon(road) == {
        "1": ("UPS", "1Z1", {first: 1, second: 1}),
        "2": ("FedEx", "770002", {second: 1}),
    }
    assert [package.state for package in packages(road)] == ["accepted", "accepted"]


def test_no_empty_package_is_sent_when_there_are_more_tracks_than_units(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS, FEDEX)
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 1})}
    assert [(package.state, package.last_error_code) for package in packages(road)] == [
        ("accepted", None),
        ("skipped", "no_units_left"),
    ]
    road.publish_recent_orders()
    assert "more tracking numbers than units" in road.shown(ONE).order_notes


def test_nothing_is_sent_when_a_shipment_has_no_track(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    shipment = ship(road)
    tell_amazon(road)

    assert (packages(road), told(road)) == ([], [])
    assert f"Shipment {shipment} has no tracking number" in road.shown(ONE).order_notes


def test_the_package_is_sent_when_a_track_is_added_later(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road)
    tell_amazon(road)
    road.sandbox.commerce.add_track(shipment, UPS)
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 2})}
    assert [package.state for package in packages(road)] == ["accepted"]


def test_the_known_package_stays_when_a_second_track_is_added_later(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    road.sandbox.commerce.add_track(shipment, FEDEX)
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 2})}
    assert [package.state for package in packages(road)] == ["accepted", "skipped"]
    assert told(road) == [(ONE, "1", "1Z1")]


def correct_in_place(road: Road, shipment: int) -> None:
    road.sandbox.commerce.shipment(shipment)["tracks"][0]["track_number"] = "1Z9"


def replace_track(road: Road, shipment: int) -> None:
    """All that Commerce's admin pages offer: delete the track and add another, which gets another id."""
    road.sandbox.commerce.shipment(shipment)["tracks"].clear()
    road.sandbox.commerce.add_track(shipment, ("fedex", "Federal Express", "1Z9"))


def replace_track_with_a_run_between(road: Road, shipment: int) -> None:
    road.sandbox.commerce.shipment(shipment)["tracks"].clear()
    tell_amazon(road)
    road.sandbox.commerce.add_track(shipment, ("fedex", "Federal Express", "1Z9"))


@pytest.mark.parametrize(
    ("correct", "carrier"),
    [(correct_in_place, "UPS"), (replace_track, "FedEx"), (replace_track_with_a_run_between, "FedEx")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_same_package_is_sent_again_when_a_track_is_corrected(road: Road, correct: Any, carrier: str) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    correct(road, shipment)
    tell_amazon(road)

    assert at_amazon(road) == {"1": (carrier, "1Z9", {item: 2})}
    assert told(road) == [(ONE, "1", "1Z1"), (ONE, "1", "1Z9")]
    (package,) = packages(road)
    assert (package.state, package.tracking_number) == ("accepted", "1Z9")
    tell_amazon(road)
    assert len(told(road)) == 2


def test_a_correction_is_not_accepted_when_amazon_still_shows_the_old_number(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    correct_in_place(road, shipment)
    road.shipments_run()
    road.pass_time(seconds=5)  # Amazon's reads lag two minutes
    road.verify_amazon_shipments()
    assert [package.state for package in packages(road)] == ["sent"]
    road.pass_time(minutes=3)
    road.verify_amazon_shipments()
    assert [package.state for package in packages(road)] == ["accepted"]


def test_only_the_corrected_package_is_sent_again_when_there_are_two(road: Road) -> None:
    first, second = create(road, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 1})
    shipment = ship(road, UPS, FEDEX)
    tell_amazon(road)
    del road.sandbox.commerce.shipment(shipment)["tracks"][0]
    road.sandbox.commerce.add_track(shipment, ("ups", "UPS", "1Z9"))
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z9", {first: 1}), "2": ("FedEx", "770002", {second: 1})}
    assert told(road) == [(ONE, "1", "1Z1"), (ONE, "2", "770002"), (ONE, "1", "1Z9")]


def test_packages_are_numbered_on_when_an_order_is_shipped_in_parts(road: Road) -> None:
    first, second = create(road, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    ship(road, UPS, units={second: Decimal(1)})
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {second: 1})}
    road.pass_time(minutes=10)
    road.orders_run()
    assert road.shown(ONE).status == "Partially Shipped"

    ship(road, FEDEX)
    tell_amazon(road)
    assert at_amazon(road) == {"1": ("UPS", "1Z1", {second: 1}), "2": ("FedEx", "770002", {first: 1, second: 1})}
    road.settle()
    assert road.shown(ONE).status == "Completed"


def test_only_its_own_package_is_rejected_when_amazon_refuses_one(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    create(road, {"DOORMAT-COIR": 1}, TWO)
    ship(road, UPS)
    ship(road, FEDEX, one=TWO)
    road.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    tell_amazon(road)

    (refused,) = packages(road)
    assert (refused.state, refused.last_error_code, refused.attempts) == ("rejected", "InvalidInput", 1)
    assert "CANCELLED" in road.shown(ONE).order_notes
    assert [package.state for package in packages(road, TWO)] == ["accepted"]
    calls = road.sandbox.amazon_faults.calls["confirmShipment"]
    tell_amazon(road)
    assert road.sandbox.amazon_faults.calls["confirmShipment"] == calls, "what is refused is not sent again unchanged"


def test_a_refused_package_is_sent_again_when_its_track_is_corrected(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    shipment = ship(road, UPS)
    road.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "PENDING"}})
    tell_amazon(road)
    assert [package.state for package in packages(road)] == ["rejected"]
    road.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}})
    replace_track(road, shipment)
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("FedEx", "1Z9", {item: 1})}
    (package,) = packages(road)
    assert (package.state, package.last_error) == ("accepted", None)


def test_nothing_is_sent_when_the_order_is_ship_plus(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1}, programs=["FBM_SHIP_PLUS"])
    ship(road, UPS)
    tell_amazon(road)

    assert [(package.state, package.last_error_code) for package in packages(road)] == [("skipped", "ship_plus")]
    assert road.sandbox.amazon_faults.calls["confirmShipment"] == 0
    assert "Ship+" in road.shown(ONE).order_notes


def ship_elsewhere(road: Road, item: str) -> None:
    """The merchant confirms in Seller Central, without a tracking number, before this pipeline does."""
    fulfilled = {"orderItemId": item, "fulfillment": {"quantityFulfilled": 1, "quantityUnfulfilled": 0}}
    package = {"packageReferenceId": "77", "carrier": "UPS", "packageItems": [{"orderItemId": item, "quantity": 1}]}
    road.sandbox.amazon.apply(
        ONE,
        {"fulfillment": {"fulfillmentStatus": "SHIPPED"}, "orderItems": [fulfilled], "packages": [package]},
    )


def test_a_person_is_asked_when_the_order_was_shipped_elsewhere_already(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    ship_elsewhere(road, item)
    tell_amazon(road)

    (package,) = packages(road)
    assert (package.state, package.last_error_code) == ("rejected", "PackageToUpdateNotFound")
    assert "Seller Central" in road.shown(ONE).order_notes
    assert told(road) == []


def test_the_package_is_accepted_when_amazon_took_it_and_the_reply_was_lost(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    road.sandbox.amazon_faults.add(Fault("confirmShipment", "lost_reply"))
    road.shipments_run()
    assert [package.state for package in packages(road)] == ["in_doubt"]
    road.pass_time(minutes=3)
    road.shipments_run()

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 1})}
    assert [package.state for package in packages(road)] == ["accepted"]
    assert len(told(road)) == 1


def test_the_package_is_sent_again_after_one_look_when_amazon_never_got_it(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    road.sandbox.amazon_faults.add(Fault("confirmShipment", "dropped"))
    road.shipments_run()
    road.pass_time(minutes=3)
    road.shipments_run()
    assert [(package.state, package.verify_count) for package in packages(road)] == [("planned", 1)]
    assert road.sandbox.amazon_faults.calls["confirmShipment"] == 1
    tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 1})}
    assert [(package.state, package.attempts) for package in packages(road)] == [("accepted", 2)]


@pytest.mark.parametrize("kind", ["html_500", "throttle"])
def test_nothing_is_concluded_when_amazon_cannot_be_asked(road: Road, kind: str) -> None:
    """One failing order waits; Amazon's throttling stops the account's reads and makes the run red."""
    create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    road.shipments_run()
    road.pass_time(minutes=3)
    road.sandbox.amazon_faults.add(Fault("getOrder", kind, retry_after=1))  # type: ignore[arg-type]
    with pytest.raises(ThrottledError) if kind == "throttle" else nullcontext():
        road.verify_amazon_shipments()
    assert [(package.state, package.verify_count) for package in packages(road)] == [("sent", 0)]
    road.pass_time(minutes=3)
    road.verify_amazon_shipments()
    assert [package.state for package in packages(road)] == ["accepted"]


def test_amazon_has_one_package_when_it_is_confirmed_twice(road: Road) -> None:
    """As after a worker's death between Amazon's answer and our commit, and a look too early."""
    (item,) = create(road, {"TRAY-WALNUT": 2})
    ship(road, UPS)
    road.shipments_run()
    before = road.sandbox.amazon.order(ONE)
    with road.engine.begin() as connection:
        connection.exec_driver_sql("update ops.shipment_outbox set state = 'planned'")
    tell_amazon(road)

    assert told(road) == [(ONE, "1", "1Z1"), (ONE, "1", "1Z1")]
    after = road.sandbox.amazon.order(ONE)
    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 2})}
    assert after["orderItems"] == before["orderItems"]
    assert [package.state for package in packages(road)] == ["accepted"]


def test_amazon_is_not_asked_when_the_pause_is_not_over(road: Road) -> None:
    road.change_settings(shipment_verify_gap=timedelta(minutes=3))
    create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    road.shipments_run()
    road.pass_time(seconds=170)
    road.shipments_run()
    assert road.sandbox.amazon_faults.calls["getOrder"] == 0
    road.pass_time(seconds=20)
    road.shipments_run()
    assert road.sandbox.amazon_faults.calls["getOrder"] == 1
    assert [package.state for package in packages(road)] == ["accepted"]


def test_amazon_is_asked_again_after_a_pause_when_it_does_not_show_the_package(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    ship(road, UPS)
    road.shipments_run()
    road.pass_time(seconds=5)  # Amazon's reads lag two minutes
    road.verify_amazon_shipments()
    (package,) = packages(road)
    assert (package.state, package.verify_count) == ("sent", 1)
    asked = road.sandbox.amazon_faults.calls["getOrder"]
    road.verify_amazon_shipments()
    assert road.sandbox.amazon_faults.calls["getOrder"] == asked
    road.pass_time(minutes=3)
    road.verify_amazon_shipments()
    assert [package.state for package in packages(road)] == ["accepted"]
