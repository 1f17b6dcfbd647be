"""An address that Amazon gives or changes after creation reaches the Commerce order; until then a warning says so."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from include.adapters.personal_data import PersonalDataCipher
from local.sandbox.faults import Fault, FaultKind
from tests.support.orders import MARKERS, amazon_order, order_id, seed
from tests.support.road import Road
from tests.support.step_process import PII_KEY, StepProcess
from tests.support.waiting import IMPATIENT, SLOW_SECONDS

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
LINES = {"TRAY-WALNUT": 1}
WARNING = "Amazon gives no delivery address; the Commerce order has placeholders. Do not ship yet."
WRITTEN = "Amazon gave a new delivery address after creation; it was written to Commerce order"
MOVED = {"addressLine1": "77 Harbour Road", "city": "Shelbyville", "postalCode": "97402"}


@pytest.fixture
def road(road: Road) -> Road:
    road.cipher = PersonalDataCipher([PII_KEY])
    road.with_account("acme-na")
    return road


def buy_without_address(road: Road, one: str = ORDER, **options: Any) -> None:
    bought = seed(one, LINES, at=road.sandbox.clock.now(), **options)
    del bought.order["recipient"]
    road.sandbox.amazon.add_order(bought)


def give_address(road: Road, one: str = ORDER, **changed: str) -> None:
    address = amazon_order(one)["recipient"]["deliveryAddress"] | changed
    road.sandbox.amazon.apply(one, {"recipient": {"deliveryAddress": address}})


def addresses(road: Road, one: str = ORDER) -> list[Any]:
    """What the Commerce order says of billing and shipping: street, city and postal code."""
    (order,) = road.sandbox.commerce.order_by_ext_id(one)
    shipping = order["extension_attributes"]["shipping_assignments"][0]["shipping"]["address"]
    return [(each["street"], each["city"], each["postcode"]) for each in (order["billing_address"], shipping)]


def saved(road: Road) -> int:
    return road.sandbox.commerce_faults.calls["saveAddress"]


def states(road: Road) -> list[str]:
    return [row.state for row in road.rows("select state from ops.order_change_outbox where kind = 'address'")]


def warnings(road: Road) -> list[tuple[str, str | None]]:
    rows = road.rows("select blocker_code, severity, closed_by_code from ops.blocker_episodes order by opened_at")
    assert {row.severity for row in rows} <= {"warning"}
    return [(row.blocker_code, row.closed_by_code) for row in rows]


def test_address_is_written_once_when_amazon_gives_it_after_creation(road: Road) -> None:
    buy_without_address(road)
    road.next_run()
    assert addresses(road) == [(["Withheld by Amazon"], "Withheld", "00000")] * 2
    shown = road.shown(ORDER)
    assert WARNING in shown.order_notes and not shown.is_blocked
    assert warnings(road) == [("placeholder_address", None)]

    give_address(road)
    road.next_run()
    expected = ([MARKERS["addressLine1"]], "Springfield", MARKERS["postalCode"])
    assert addresses(road) == [expected] * 2
    shown = road.shown(ORDER)
    assert shown.order_notes.startswith(f"{WRITTEN} {shown.commerce_order_number}.")
    assert WARNING not in shown.order_notes
    assert warnings(road) == [("placeholder_address", "solved")]
    road.next_run()
    assert (saved(road), states(road), len(road.sandbox.commerce.orders())) == (2, ["done"], 1)
    outside = {name: rows for name, rows in road.dump().items() if not name.startswith("pii.")}
    assert MARKERS["addressLine1"] not in repr(outside) and MARKERS["postalCode"] not in repr(outside)


def test_address_is_written_when_amazon_changes_it_after_creation(road: Road) -> None:
    road.buy(ORDER, LINES)
    road.next_run()
    assert (warnings(road), states(road)) == ([], [])
    give_address(road, **MOVED)
    road.next_run()
    assert addresses(road) == [(["77 Harbour Road"], "Shelbyville", "97402")] * 2
    give_address(road)
    road.next_run()
    assert addresses(road)[1][0] == [MARKERS["addressLine1"]]
    assert saved(road) == 4


def test_nothing_is_written_when_another_part_of_the_contact_changes(road: Road) -> None:
    road.buy(ORDER, LINES)
    road.next_run()
    road.sandbox.amazon.apply(ORDER, {"buyer": {"buyerEmail": "other@marketplace.example"}})
    road.next_run()
    assert (states(road), saved(road)) == (["done"], 0)
    assert road.shown(ORDER).order_notes.startswith("Created in Commerce")


def test_person_is_told_when_the_address_changes_after_the_shipment(road: Road) -> None:
    road.buy(ORDER, LINES)
    road.next_run()
    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1ZA")])
    give_address(road, **MOVED)
    road.next_run()
    assert (states(road), saved(road)) == (["skipped"], 0)
    assert "Check where the parcel went." in road.shown(ORDER).order_notes


def test_person_is_told_when_the_address_that_comes_late_cannot_be_used(road: Road) -> None:
    buy_without_address(road)
    road.next_run()
    give_address(road, city="")
    road.next_run()
    assert addresses(road) == [(["Withheld by Amazon"], "Withheld", "00000")] * 2
    assert (states(road), saved(road)) == (["skipped"], 0)
    notes = road.shown(ORDER).order_notes
    assert "a new delivery address that cannot be used: city is missing." in notes and WARNING in notes
    give_address(road)
    road.next_run()
    assert addresses(road)[1][1] == "Springfield"
    assert warnings(road) == [("placeholder_address", "solved")]


def test_no_warning_is_shown_when_amazon_fulfills_the_order(road: Road) -> None:
    buy_without_address(road, fulfilled_by="AMAZON", status="SHIPPED")
    road.next_run()
    assert len(road.sandbox.commerce.orders()) == 1
    assert warnings(road) == []


def finish(road: Road, ids: list[str]) -> None:
    """After some more runs, every order has the address that Amazon gave last."""
    for _ in range(12):
        road.pass_time(hours=1)
        road.run_as_airflow()
        if not road.value("select count(*) from ops.order_change_outbox where done_at is null"):
            break
    assert set(states(road)) == {"done"}
    for one in ids:
        assert addresses(road, one) == [(["77 Harbour Road"], "Shelbyville", "97402")] * 2
        assert WRITTEN in road.shown(one).order_notes


def test_address_is_written_when_its_call_meets_each_fault(road: Road) -> None:
    road.timeouts = IMPATIENT
    kinds = get_args(FaultKind)
    ids = [order_id(number) for number in range(1, len(kinds) + 1)]
    for one, kind in zip(ids, kinds, strict=True):
        buy_without_address(road, one)
        road.run_as_airflow()
        give_address(road, one, **MOVED)
        road.sandbox.commerce_faults.add(Fault("saveAddress", kind, seconds=SLOW_SECONDS, retry_after=30))
        road.pass_time(minutes=10)
        road.run_as_airflow()
        assert road.sandbox.commerce_faults.pending() == [], f"{kind} was not met"
    finish(road, ids)
    assert set(warnings(road)) == {("placeholder_address", "solved")}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_address_is_written_when_killed_around_its_call(road: Road, moment: str) -> None:
    buy_without_address(road)
    road.run_as_airflow()
    give_address(road, **MOVED)
    road.pass_time(minutes=10)
    road.new_task()
    road.run_number += 1
    for step in (road.extract_amazon_orders, road.stage_amazon_orders, road.validate_orders):
        step()
    process = StepProcess(road, "create_commerce_orders", dies_at=f"{moment} save_address")
    process.wait_for_death()
    process.wait_until_forgotten()
    finish(road, [ORDER])


def test_address_is_written_when_it_arrives_while_the_creation_is_in_doubt(road: Road) -> None:
    buy_without_address(road)
    road.sandbox.commerce_faults.add(Fault("createOrder", "html_500"))
    road.run_as_airflow()
    give_address(road, **MOVED)
    for _ in range(4):
        road.pass_time(hours=1)
        road.run_as_airflow()
    assert addresses(road) == [(["77 Harbour Road"], "Shelbyville", "97402")] * 2
