"""Two copies of a step, or of a whole run, at the same time: the end is as with one. Several rounds, for the races."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from local.sandbox.faults import Fault
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("plain_rules")

COPIES = 2
ROUNDS = 2
ORDERS_PER_ROUND = 3

ORDERS_PATH: list[Callable[[Road], Any]] = [
    Road.stage_stores,
    Road.extract_amazon_orders,
    Road.stage_amazon_orders,
    Road.validate_orders,
    Road.create_commerce_orders,
    Road.publish_recent_orders,
]
SHIPMENTS_PATH: list[Callable[[Road], Any]] = [
    Road.extract_commerce_shipments,
    Road.stage_commerce_shipments,
    Road.push_amazon_shipments,
    Road.verify_amazon_shipments,
]


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def side_by_side(road: Road, *works: Callable[[Road], Any]) -> list[Any]:
    """Each of `works` in a thread of its own with clients of its own, all beginning at once; their results."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[Road], Any]) -> Any:
        with replace(road) as copy:
            start.wait()
            return work(copy)

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(begin, work) for work in works]
        return [future.result() for future in futures]


def buy_round(road: Road, number: int) -> list[str]:
    ids = [order_id(number * 100 + position) for position in range(ORDERS_PER_ROUND)]
    for one in ids:
        road.buy(one, {"CANDLE-SOY-FIG": 1, "JAR-STORAGE-3": 1})
    road.pass_time(minutes=10)
    return ids


def warehouse_ships(road: Road) -> None:
    shipped = {shipment["order_id"] for shipment in road.sandbox.commerce.shipments()}
    for order in road.sandbox.commerce.orders():
        if order["entity_id"] not in shipped:
            one = order["ext_order_id"]
            road.sandbox.commerce.ship(one, None, [("ups", "UPS", f"1Z{one}A"), ("ups", "UPS", f"1Z{one}B")])


def assert_all_arrived_once(road: Road, ids: list[str]) -> None:
    commerce = road.sandbox.commerce
    assert sorted(order["ext_order_id"] for order in commerce.orders()) == sorted(ids)
    assert commerce.snapshot()["last_ids"]["invoice"] == len(ids)
    for order in commerce.orders():
        assert Decimal(order["total_invoiced"]) == Decimal(order["grand_total"])
    confirmed = [
        (one["orderId"], one["packageDetail"]["packageReferenceId"]) for one in road.sandbox.amazon.confirmations
    ]
    assert sorted(confirmed) == sorted((one, number) for one in ids for number in ("1", "2"))
    for one in ids:
        assert [package["trackingNumber"] for package in road.sandbox.amazon.order(one)["packages"]] == [
            f"1Z{one}A",
            f"1Z{one}B",
        ]
        assert road.shown(one).status == "Completed"
    assert road.value("select count(*) from core.orders") == len(ids)
    assert road.value("select count(*) from core.order_items") == 2 * len(ids)
    versions = "select count(*) from (select distinct amazon_order_id, last_updated_at from raw.amazon_orders) as known"
    assert road.value("select count(*) from raw.amazon_orders") == road.value(versions)


@pytest.mark.parametrize("step", [*ORDERS_PATH, *SHIPMENTS_PATH], ids=lambda step: step.__name__)
def test_all_arrives_once_when_a_step_runs_beside_itself(road: Road, step: Callable[[Road], Any]) -> None:
    ids = []
    for number in range(ROUNDS):
        ids += buy_round(road, number)
        road.run_number += 1
        for each in [*ORDERS_PATH, warehouse_ships, *SHIPMENTS_PATH]:
            if each is Road.verify_amazon_shipments:
                road.pass_time(minutes=3)
            side_by_side(road, *[each] * (COPIES if each is step else 1))
    road.settle()

    assert_all_arrived_once(road, ids)


FIRST_WRITES = [
    (Road.stage_stores, "core.stores"),
    (Road.stage_amazon_orders, "core.orders"),
    (Road.extract_commerce_shipments, "raw.commerce_shipments"),
    (Road.stage_commerce_shipments, "core.shipments"),
    (Road.publish_recent_orders, "reporting.recent_orders"),
]


@pytest.mark.parametrize(("step", "table"), FIRST_WRITES, ids=lambda value: getattr(value, "__name__", ""))
def test_all_arrives_once_when_both_copies_have_begun_before_either_writes(
    road: Road, admin_engine: Engine, step: Callable[[Road], Any], table: str
) -> None:
    ids = buy_round(road, 0)
    path = [*ORDERS_PATH, warehouse_ships, *SHIPMENTS_PATH]
    for each in path[: path.index(step)]:
        each(road)
    with ThreadPoolExecutor(COPIES) as pool, replace(road) as first, replace(road) as second:
        with admin_engine.begin() as connection:
            connection.execute(text(f"lock table {table} in share mode"))
            works = [pool.submit(step, copy) for copy in (first, second)]
            wait_for_locked_sessions(admin_engine, COPIES)
        for work in works:
            work.result()
    road.settle(lambda: warehouse_ships(road))

    assert_all_arrived_once(road, ids)


def test_all_arrives_once_when_whole_runs_overlap(road: Road) -> None:
    ids = []
    for number in range(ROUNDS):
        ids += buy_round(road, number)
        side_by_side(road, *[Road.orders_run] * COPIES)
        # The next run begins while the shipments go back, and Amazon has changed what the creator is linking.
        for one in ids[-ORDERS_PER_ROUND:]:
            road.sandbox.amazon.apply(one, {"programs": ["PRIME", "AMAZON_BUSINESS"]})
        road.pass_time(minutes=3)
        warehouse_ships(road)
        side_by_side(road, Road.orders_run, Road.shipments_run, Road.shipments_run)
        road.pass_time(minutes=3)
    road.settle()

    assert_all_arrived_once(road, ids)


def test_both_end_well_when_an_order_changes_while_it_is_linked(road: Road, admin_engine: Engine) -> None:
    """Both steps write the order and its lines; locks taken in two orders would end one of them with a deadlock."""
    (changed, *_) = ids = buy_round(road, 0)
    for step in ORDERS_PATH[:4]:
        step(road)
    road.sandbox.amazon.apply(changed, {"programs": ["PRIME", "AMAZON_BUSINESS"]})
    road.pass_time(minutes=10)
    road.extract_amazon_orders()

    with ThreadPoolExecutor(2) as pool, replace(road) as creator, replace(road) as stager:
        with admin_engine.begin() as connection:
            lines = text("select from core.order_items where amazon_order_id = :id for update")
            connection.execute(lines, {"id": changed})
            creating = pool.submit(creator.create_commerce_orders)
            wait_for_locked_sessions(admin_engine, 1)
            staging = pool.submit(stager.stage_amazon_orders)
            wait_for_locked_sessions(admin_engine, 2)
        assert creating.result()["finished"] == len(ids)
        assert staging.result()["orders"] == 1

    linked = "select count(*) from core.order_items where commerce_item_id is not null"
    assert road.value(linked) == 2 * len(ids)
    programs = road.value("select programs from core.orders where amazon_order_id = :id", id=changed)
    assert programs == ["PRIME", "AMAZON_BUSINESS"]


def wait_for_locked_sessions(engine: Engine, count: int) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        wait_until(lambda: connection.execute(waiting).scalar_one() >= count, f"{count} sessions to wait for a lock")


def test_an_order_in_doubt_is_posted_once_more_only_when_two_workers_look_it_up(road: Road) -> None:
    (first, *_) = buy_round(road, 0)
    for step in ORDERS_PATH[:4]:
        step(road)
    road.sandbox.commerce_faults.add(Fault("createOrder", "dropped", about=first))
    road.create_commerce_orders()
    assert road.value("select state from ops.order_outbox where amazon_order_id = :id", id=first) == "in_doubt"
    for _ in range(4):
        road.pass_time(minutes=6)
        side_by_side(road, *[Road.create_commerce_orders] * COPIES)

    assert len(road.sandbox.commerce.order_by_ext_id(first)) == 1
    assert road.sandbox.commerce_faults.calls["createOrder"] == ORDERS_PER_ROUND + 1
