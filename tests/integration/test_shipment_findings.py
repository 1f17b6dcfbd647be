"""Shipments that a person should know of: without a number, of units shipped before, and deleted in Commerce."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.faults import Fault
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.shipping import FEDEX, ONE, UPS, at_amazon, create, packages, ship, tell_amazon, told

pytestmark = pytest.mark.usefixtures("plain_rules")

THREE = order_id(3)


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def findings(road: Road) -> list[tuple[str, str]]:
    return [
        (row.finding_code, row.message)
        for row in road.rows("select finding_code, message from reporting.flagged_orders order by 1, 2")
    ]


def delete_shipment(road: Road, shipment: int) -> None:
    """As modules for that do; what the order counts as shipped stays."""
    del road.sandbox.commerce._shipments[shipment]


def test_a_shipment_without_a_number_is_a_finding_until_it_has_one_when_the_store_flags_them(road: Road) -> None:
    road.change_store("Acme US", are_untracked_shipments_flagged=True)
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road)
    tell_amazon(road)

    message = f"Shipped in Commerce, but not confirmed to Amazon: shipment {shipment} has no tracking number."
    assert findings(road) == [("shipment_without_tracking", message)]
    assert road.shown(ONE).order_notes.startswith(message)
    assert told(road) == []

    road.pass_time(days=30)  # also weeks later
    road.sandbox.commerce.add_track(shipment, UPS)
    tell_amazon(road)
    assert (findings(road), at_amazon(road)) == ([], {"1": ("UPS", "1Z1", {item: 2})})


def test_a_shipment_without_a_number_waits_silently_when_the_store_does_not_flag_them(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 1})
    ship(road)
    tell_amazon(road)
    assert (findings(road), told(road)) == ([], [])


def test_the_finding_ends_when_the_shipment_is_confirmed_in_seller_central(road: Road) -> None:
    road.change_store("Acme US", are_untracked_shipments_flagged=True)
    create(road, {"TRAY-WALNUT": 1})
    ship(road)
    tell_amazon(road)
    assert len(findings(road)) == 1
    road.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}})
    road.next_run()
    road.shipments_run()
    assert findings(road) == []


def test_amazon_gets_a_correction_when_a_track_changes_weeks_after_the_order_is_completed(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    road.settle()
    assert road.shown(ONE).status == "Completed"
    road.pass_time(days=13)
    road.sandbox.commerce.shipment(shipment)["tracks"][0]["track_number"] = "1Z9"
    tell_amazon(road)
    assert at_amazon(road) == {"1": ("UPS", "1Z9", {item: 2})}
    assert [package.state for package in packages(road)] == ["accepted"]


def ship_again(road: Road, shipment: int, track: tuple[str, str, str]) -> int:
    """A module ships the same units once more, past Commerce's own checks."""
    stored = road.sandbox.commerce.order(int(road.sandbox.commerce.shipment(shipment)["order_id"]))
    stored["items"][0]["qty_shipped"] = Decimal(0)
    stored["state"] = stored["status"] = "processing"
    return ship(road, track)


def test_amazon_has_each_unit_once_and_a_person_is_told_when_the_same_units_are_shipped_twice(road: Road) -> None:
    (item,) = create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    ship_again(road, shipment, FEDEX)
    tell_amazon(road)
    tell_amazon(road)

    message = "Commerce has shipped 4 of 2 units of TRAY-WALNUT; Amazon gets no more than was ordered."
    assert findings(road) == [("shipped_twice", message)]
    assert at_amazon(road) == {"1": ("UPS", "1Z1", {item: 2})}
    assert [package.state for package in packages(road)] == ["accepted", "rejected"]


def test_a_deleted_shipment_is_a_finding_when_amazon_has_its_package(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    assert findings(road) == []
    delete_shipment(road, shipment)
    road.shipments_run()

    (finding,) = findings(road)
    assert finding == (
        "shipment_deleted",
        f"Deleted in Commerce, but confirmed to Amazon: shipment {shipment} (tracking number 1Z1).",
    )
    road.shipments_run()
    assert findings(road) == [finding]
    assert len(told(road)) == 1


def test_a_deleted_shipment_is_not_confirmed_when_amazon_did_not_get_it_yet(road: Road) -> None:
    create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    road.extract_commerce_shipments()
    road.stage_commerce_shipments()
    delete_shipment(road, shipment)
    tell_amazon(road)

    assert [(package.state, package.last_error_code) for package in packages(road)] == [("skipped", "shipment_deleted")]
    assert (told(road), findings(road)) == ([], [])


@pytest.mark.parametrize("kind", ["html_500", "unreadable"])
def test_no_shipment_counts_as_deleted_when_the_shop_only_fails_to_show_it(road: Road, kind: Any) -> None:
    create(road, {"TRAY-WALNUT": 2})
    shipment = ship(road, UPS)
    tell_amazon(road)
    if kind == "html_500":
        road.sandbox.commerce_faults.add(Fault("searchShipments", kind, times=1))
        road.shipments_run_as_airflow()
    else:  # it cannot be read, but is there
        road.sandbox.commerce.shipment(shipment)["items"] = None
        road.shipments_run()
    assert findings(road) == []
