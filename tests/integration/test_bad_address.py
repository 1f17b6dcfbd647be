"""An address that no Commerce order can have blocks its order before Commerce is asked, until a person corrects it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from include.steps import create_commerce_orders, repair_amazon_order, validate_orders
from tests.support.orders import MARKERS, order_id, seed
from tests.support.road import Road

ORDER, OTHER = order_id(1), order_id(2)
TRAY = "TRAY-WALNUT"
CITY_MISSING = "The delivery address cannot be used: city is missing."
REMEDY = "Look it up in Seller Central, then run the DAG repair_amazon_order, action correct, with these fields."


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def buy(road: Road, one: str = ORDER, lines: dict[str, int] | None = None, *, without: str, **options: Any) -> None:
    bought = seed(one, lines or {TRAY: 1}, at=road.sandbox.clock.now(), **options)
    del bought.order["recipient"]["deliveryAddress"][without]
    road.sandbox.amazon.add_order(bought)


def correct(road: Road, **address: str) -> dict[str, str]:
    road.run_number += 1
    wanted = {"amazon_order_id": ORDER, "action": "correct", "comment": "As the buyer wrote.", "address": address}
    return repair_amazon_order.run(
        road.engine,
        road.cipher,
        repair_amazon_order.read_repair(wanted),
        is_dry_run=False,
        repaired_by="olga",
        now=road.now(),
        dag_run_id=road.run_id,
    )


def in_shop(road: Road, one: str = ORDER) -> list[Any]:
    return list(road.sandbox.commerce.order_by_ext_id(one))


def calls(road: Road) -> int:
    """Requests about creating an order, so far."""
    counted = road.sandbox.commerce_faults.calls
    return counted["createOrder"]


def test_order_is_blocked_until_a_person_corrects_the_missing_field(road: Road) -> None:
    buy(road, lines={TRAY: 1, "VASE-GLASS-TALL": 2}, without="city")
    road.buy(OTHER, {TRAY: 1})
    road.next_run()
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Error", True, ["bad_address"])
    assert shown.order_notes == f"{CITY_MISSING} {REMEDY}"
    (row,) = road.rows("select * from reporting.blocked_orders")
    assert (row.message, row.remedy, row.amazon_item_id) == (CITY_MISSING, REMEDY, None)
    assert row.affected_amount == 30
    assert (in_shop(road), len(in_shop(road, OTHER)), calls(road)) == ([], 1, 1)
    outside = {name: rows for name, rows in road.dump().items() if not name.startswith("pii.")}
    assert MARKERS["addressLine1"] not in repr(outside) and MARKERS["postalCode"] not in repr(outside)

    correct(road, city="Salem")
    road.next_run()
    (order,) = in_shop(road)
    assert order["billing_address"]["city"] == "Salem"
    shown = road.shown(ORDER)
    assert (shown.is_blocked, shown.blocker_codes) == (False, [])
    assert road.rows("select * from ops.bad_addresses") == []
    assert [row.closed_by_code for row in road.rows("select * from ops.blocker_episodes")] == ["solved"]


@pytest.mark.usefixtures("plain_rules")
def test_order_is_blocked_again_when_the_correction_brings_another_problem(road: Road) -> None:
    buy(road, without="city")
    road.next_run()
    correct(road, city="Berlin", country_code="XX")
    road.next_run()
    assert "country_code is not a country code" in road.shown(ORDER).order_notes
    correct(road, country_code="DE")
    road.sandbox.amazon.apply(ORDER, {"recipient": {"deliveryAddress": {"phone": "+49 30 1"}}})
    road.next_run()
    assert in_shop(road)[0]["billing_address"]["country_id"] == "DE"


@pytest.mark.usefixtures("plain_rules")
def test_order_is_created_when_amazon_gives_the_missing_field_later(road: Road) -> None:
    buy(road, without="stateOrRegion")
    road.next_run()
    assert "region is missing" in road.shown(ORDER).order_notes
    road.sandbox.amazon.apply(ORDER, {"recipient": {"deliveryAddress": {"stateOrRegion": "OR"}}})
    road.next_run()
    assert len(in_shop(road)) == 1


@pytest.mark.usefixtures("plain_rules")
def test_order_is_created_with_placeholders_when_amazon_ships_it(road: Road) -> None:
    buy(road, without="city", fulfilled_by="AMAZON", status="SHIPPED")
    road.next_run()
    assert (road.shown(ORDER).blocker_codes, len(in_shop(road))) == ([], 1)


@pytest.mark.usefixtures("plain_rules")
def test_order_is_blocked_when_its_address_was_stored_before_addresses_were_checked(road: Road) -> None:
    buy(road, without="postalCode")
    road.stage_stores()
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    with road.engine.begin() as connection:
        connection.execute(text("delete from ops.bad_addresses"))
    road.stage_amazon_orders()
    common = (road.stores, road.settings)
    rehearsed = {"dag_run_id": "dry", "is_dry_run": True}
    validate_orders.run(road.engine, road.commerce, *common, now=road.now(), **rehearsed)
    shop = (road.engine, road.commerce, road.cipher, "acme-na")
    create_commerce_orders.run(*shop, *common, clock=road.now, **rehearsed)
    assert road.value("select action from ops.dry_run_results") == "block"
    road.validate_orders()
    road.create_commerce_orders()
    assert (calls(road), in_shop(road)) == (0, [])
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["bad_address"]


@pytest.mark.usefixtures("plain_rules")
def test_other_blockers_are_listed_when_the_address_is_bad_as_well(road: Road) -> None:
    buy(road, lines={"NONE": 1}, without="countryCode")
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["bad_address", "missing_product"]
    road.next_run()
    assert [row.check_count for row in road.rows("select * from ops.blocker_episodes")] == [2, 2]
