"""The calls that take canceled units off a Commerce order meet every fault: each is carried out once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, get_args

import pytest

from include.adapters.personal_data import PersonalDataCipher
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.scenario.orders import canceled_line
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.step_process import PII_KEY, StepProcess
from tests.support.waiting import IMPATIENT, SLOW_SECONDS

pytestmark = pytest.mark.usefixtures("plain_rules")

TRAY, MAT = "TRAY-WALNUT", "DOORMAT-COIR"
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


@dataclass(frozen=True)
class Change:
    """A change on Amazon: the call that carries it out in Commerce, and what the order shows when it is done once."""

    operation: str
    method: str
    prepare: Callable[[Road, Sequence[str]], object]
    apply: Callable[[Road, str], object]
    done: tuple[str, dict[str, tuple[int, int]]]  # state; SKU -> canceled, refunded


def create(road: Road, ids: Sequence[str]) -> None:
    for one in ids:
        road.buy(one, {TRAY: 2, MAT: 1})
    road.next_run()


def create_without_invoice(road: Road, ids: Sequence[str]) -> None:
    for one in ids:
        road.buy(one, {TRAY: 2, MAT: 1})
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500", times=len(ids)))
    road.run_as_airflow()


def cancel_order(road: Road, one: str) -> None:
    road.sandbox.amazon.apply(one, CANCELLED)


def cancel_one_tray(road: Road, one: str) -> None:
    line = road.sandbox.amazon.order(one)["orderItems"][0]
    road.sandbox.amazon.apply(one, {"orderItems": [canceled_line(line["orderItemId"], 1)]})


CANCELED = Change(
    "cancelOrder", "cancel", create_without_invoice, cancel_order, ("canceled", {TRAY: (2, 0), MAT: (1, 0)})
)
CREDITED = Change("refundOrder", "refund", create, cancel_order, ("closed", {TRAY: (0, 2), MAT: (0, 1)}))
# The one that Commerce itself would not refuse a second time.
PARTLY = Change("refundOrder", "refund", create, cancel_one_tray, ("processing", {TRAY: (0, 1), MAT: (0, 0)}))
CHANGES = [CANCELED, CREDITED, PARTLY]
NAMES = ["canceled", "credited", "partly_credited"]


@pytest.fixture
def road(road: Road) -> Road:
    road.cipher = PersonalDataCipher([PII_KEY])
    road.with_account("acme-na")
    return road


def assert_done_once(road: Road, change: Change, ids: list[str]) -> None:
    """After some more runs, every order shows the change once."""
    for _ in range(12):
        road.pass_time(hours=1)
        road.run_as_airflow()
        if not road.value("select count(*) from ops.order_change_outbox where done_at is null"):
            break
    assert {row.state for row in road.rows("select state from ops.order_change_outbox")} == {"done"}
    for one in ids:
        (order,) = road.sandbox.commerce.order_by_ext_id(one)
        shown = {item["sku"]: (int(item["qty_canceled"]), int(item["qty_refunded"])) for item in order["items"]}
        assert (order["state"], shown) == change.done
        assert re.search("do not ship|ship only the rest|was canceled", road.shown(one).order_notes)
    assert len(road.sandbox.commerce.creditmemos) == (0 if change is CANCELED else len(ids))
    if change is CREDITED:
        for order in road.sandbox.commerce.orders():
            assert Decimal(order["total_refunded"]) == Decimal(order["total_paid"])
    assert road.sandbox.commerce.mails == []


def change_all(road: Road, change: Change, ids: list[str]) -> None:
    for one in ids:
        change.apply(road, one)
    road.pass_time(minutes=10)
    road.new_task()
    road.run_number += 1
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    road.validate_orders()


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_change_is_carried_out_once_when_its_call_meets_each_fault(road: Road, change: Change) -> None:
    road.timeouts = IMPATIENT
    kinds = get_args(FaultKind)
    ids = [order_id(number) for number in range(1, len(kinds) + 1)]
    for one, kind in zip(ids, kinds, strict=True):
        change.prepare(road, [one])
        change.apply(road, one)
        fault = Fault(change.operation, kind, seconds=SLOW_SECONDS, retry_after=30)
        road.sandbox.commerce_faults.add(fault)
        road.run_as_airflow()
        assert road.sandbox.commerce_faults.pending() == [], f"{kind} was not met"
    assert_done_once(road, change, ids)


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_change_is_carried_out_once_when_killed_around_its_call(road: Road, change: Change, moment: str) -> None:
    ids = [order_id(1), order_id(2)]
    change.prepare(road, ids)
    change_all(road, change, ids)
    process = StepProcess(road, "create_commerce_orders", dies_at=f"{moment} {change.method}")
    process.wait_for_death()
    process.wait_until_forgotten()
    assert_done_once(road, change, ids)


def test_change_is_carried_out_once_when_killed_while_the_answer_is_held(road: Road) -> None:
    create(road, [order_id(1)])
    change_all(road, PARTLY, [order_id(1)])
    script = road.sandbox.commerce_faults
    script.add(Fault("refundOrder", "slow", seconds=SLOW_SECONDS))
    process = StepProcess(road, "create_commerce_orders")
    process.kill_when(lambda: script.pending() == [] and road.sandbox.commerce.creditmemos)
    process.wait_until_forgotten()
    assert_done_once(road, PARTLY, [order_id(1)])


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_change_is_carried_out_once_when_two_copies_run(road: Road, change: Change) -> None:
    ids = [order_id(1), order_id(2), order_id(3)]
    change.prepare(road, ids)
    change_all(road, change, ids)
    side_by_side(road, Road.validate_orders)
    side_by_side(road, Road.create_commerce_orders)
    assert_done_once(road, change, ids)
    made = road.sandbox.commerce_faults.calls
    assert made[change.operation] == len(ids)


def side_by_side(road: Road, work: Callable[[Road], Any]) -> None:
    start = threading.Barrier(2)

    def begin() -> None:
        with replace(road) as copy:
            start.wait()
            work(copy)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(begin) for _ in range(2)]:
            future.result()


def test_units_are_credited_once_when_amazon_cancels_more_while_the_first_call_is_in_doubt(road: Road) -> None:
    one = order_id(1)
    road.buy(one, {TRAY: 3})
    road.next_run()
    road.sandbox.commerce_faults.add(Fault("refundOrder", "html_500"))
    for left in (2, 1):
        line = road.sandbox.amazon.order(one)["orderItems"][0]
        units = {"fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": left}}
        road.sandbox.amazon.apply(one, {"orderItems": [{"orderItemId": line["orderItemId"]} | units]})
        road.pass_time(minutes=10)
        road.run_as_airflow()
    states = road.rows("select state from ops.order_change_outbox order by planned_at")
    assert [row.state for row in states] == ["in_doubt", "planned"]
    for _ in range(6):
        road.pass_time(hours=1)
        road.run_as_airflow()
    (order,) = road.sandbox.commerce.order_by_ext_id(one)
    assert int(order["items"][0]["qty_refunded"]) == 2
    assert {row.state for row in road.rows("select state from ops.order_change_outbox")} == {"done"}
