"""A worker is killed (SIGKILL) at the worst moments of each step; the runs after it end as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from include.adapters.personal_data import PersonalDataCipher
from local.sandbox.faults import Fault
from tests.support.fragile_road import FragileRoad
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.step_process import PII_KEY, StepProcess
from tests.support.waiting import SLOW_SECONDS

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDERS = [order_id(number) for number in range(1, 4)]
ORDERS_PATH = ["stage_stores", "extract_amazon_orders", "stage_amazon_orders", "validate_orders"]
ORDERS_PATH += ["create_commerce_orders", "publish_recent_orders"]
SHIPMENTS_PATH = ["extract_commerce_shipments", "stage_commerce_shipments", "push_amazon_shipments"]
SHIPMENTS_PATH += ["verify_amazon_shipments"]


@pytest.fixture
def road(road: Road) -> Road:
    """The road with orders to walk it, and with a key that the other process has too."""
    road.cipher = PersonalDataCipher([PII_KEY])
    road.with_account("acme-na")
    road.change_settings(orders_per_page=2)
    for one in ORDERS:
        road.buy(one, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    road.pass_time(minutes=10)
    return road


def walk_until(road: Road, step: str) -> None:
    """Everything that comes before the step that is to be killed."""
    road.run_number += 1
    if step in ORDERS_PATH:
        before = ORDERS_PATH[: ORDERS_PATH.index(step)]
    else:
        before = [*ORDERS_PATH, *SHIPMENTS_PATH[: SHIPMENTS_PATH.index(step)]]
    for name in before:
        if name == "extract_commerce_shipments":
            warehouse_ships(road)
        getattr(road, name)()
    if step == "extract_commerce_shipments":
        warehouse_ships(road)
    if step == "verify_amazon_shipments":
        road.pass_time(minutes=3)


def warehouse_ships(road: Road) -> None:
    """The merchant ships what is in Commerce, unless it is shipped already."""
    shipped = {shipment["order_id"] for shipment in road.sandbox.commerce.shipments()}
    for order in road.sandbox.commerce.orders():
        if order["entity_id"] not in shipped:
            one = order["ext_order_id"]
            road.sandbox.commerce.ship(one, None, [("ups", "UPS", f"1Z{one}")])


def assert_all_arrives_once(road: Road) -> None:
    """The runs that follow end as they do without a kill."""
    road.settle(lambda: warehouse_ships(road))

    commerce, amazon = road.sandbox.commerce, road.sandbox.amazon
    assert sorted(order["ext_order_id"] for order in commerce.orders()) == ORDERS
    for order in commerce.orders():
        assert (order["state"], Decimal(order["total_invoiced"])) == ("complete", Decimal(order["grand_total"]))
    # The sandbox numbers invoices one by one and refuses none that has something left: so none was made twice.
    assert commerce.snapshot()["last_ids"]["invoice"] == len(ORDERS)
    assert len(commerce.shipments()) == len(ORDERS)
    assert commerce.mails == []
    for one in ORDERS:
        (package,) = amazon.order(one)["packages"]
        assert (package["packageReferenceId"], package["trackingNumber"]) == ("1", f"1Z{one}")
        assert road.shown(one).status == "Completed"
    assert {row.state for row in road.rows("select state from ops.shipment_outbox")} == {"accepted"}
    assert road.value("select count(*) from core.orders") == len(ORDERS)
    assert road.value("select count(*) from core.order_items") == 2 * len(ORDERS)
    assert road.value("select count(*) from pii.order_contacts") == len(ORDERS)


@dataclass(frozen=True)
class Held:
    """A moment at which a server has done the work and holds its answer back. `skip`: calls that pass before."""

    step: str
    system: str
    operation: str
    skip: int
    is_done: Callable[[Road], object]


HELD = [
    Held("extract_amazon_orders", "amazon", "searchOrders", 1, lambda road: True),
    Held("create_commerce_orders", "commerce", "createOrder", 1, lambda road: len(road.sandbox.commerce.orders()) >= 2),
    Held(
        "create_commerce_orders",
        "commerce",
        "invoiceOrder",
        1,
        lambda road: road.sandbox.commerce.snapshot()["last_ids"].get("invoice", 0) >= 2,
    ),
    Held("extract_commerce_shipments", "commerce", "searchShipments", 0, lambda road: True),
    Held(
        "push_amazon_shipments",
        "amazon",
        "confirmShipment",
        1,
        lambda road: len(road.sandbox.amazon.confirmations) == 2,
    ),
]


@pytest.mark.parametrize("held", HELD, ids=lambda held: held.operation)
def test_all_arrives_once_when_killed_while_the_answer_is_held(road: Road, held: Held) -> None:
    walk_until(road, held.step)
    script = road.sandbox.amazon_faults if held.system == "amazon" else road.sandbox.commerce_faults
    script.add(Fault(held.operation, "slow", skip=held.skip, seconds=SLOW_SECONDS))

    process = StepProcess(road, held.step)
    process.kill_when(lambda: script.pending() == [] and held.is_done(road))
    process.wait_until_forgotten()

    assert_all_arrives_once(road)


MOMENTS = [
    ("extract_amazon_orders", "before search_orders"),
    ("create_commerce_orders", "before create_order"),
    ("create_commerce_orders", "after create_order"),
    ("create_commerce_orders", "before invoice"),
    ("create_commerce_orders", "after invoice"),
    ("push_amazon_shipments", "before confirm_shipment"),
    ("push_amazon_shipments", "after confirm_shipment"),
    ("verify_amazon_shipments", "after get_order"),
]


@pytest.mark.parametrize(("step", "moment"), MOMENTS, ids=[moment for _, moment in MOMENTS])
def test_all_arrives_once_when_killed_between_two_calls(road: Road, step: str, moment: str) -> None:
    walk_until(road, step)

    process = StepProcess(road, step, dies_at=moment)
    process.wait_for_death()
    process.wait_until_forgotten()

    assert_all_arrives_once(road)


@contextmanager
def locked(admin_engine: Engine, table: str) -> Iterator[None]:
    """While this lasts everybody can read the table and nobody can write it."""
    with admin_engine.begin() as connection:
        connection.execute(text(f"lock table {table} in share mode"))
        yield


# A step, the table at which its transaction is held up, and what may not be there after its death.
WRITES = [
    ("stage_stores", "core.stores", "select count(*) from core.stores"),
    ("extract_amazon_orders", "pii.order_contacts", "select count(*) from raw.amazon_orders"),
    ("stage_amazon_orders", "core.order_status_changes", "select count(*) from core.orders"),
    ("validate_orders", "core.order_status_changes", "select count(*) from ops.order_outbox"),
    (
        "create_commerce_orders",
        "core.order_items",
        "select count(*) from ops.order_outbox where commerce_order_id is not null",
    ),
    ("create_commerce_orders", "ops.order_outbox", "select count(*) from ops.order_outbox where linked_at is not null"),
    ("publish_recent_orders", "reporting.recent_orders", "select count(*) from reporting.recent_orders"),
    ("extract_commerce_shipments", "raw.commerce_shipments", "select count(*) from raw.commerce_shipments"),
    ("stage_commerce_shipments", "ops.shipment_outbox", "select count(*) from core.shipments"),
    (
        "push_amazon_shipments",
        "ops.shipment_outbox",
        "select count(*) from ops.shipment_outbox where state = 'sent'",
    ),
    (
        "verify_amazon_shipments",
        "ops.shipment_outbox",
        "select count(*) - 1 from ops.shipment_outbox where state = 'accepted'",
    ),
]


@pytest.mark.parametrize(("step", "table", "leftovers"), WRITES, ids=[f"{step}-{table}" for step, table, _ in WRITES])
def test_all_arrives_once_when_killed_in_a_transaction(
    road: Road, admin_engine: Engine, step: str, table: str, leftovers: str
) -> None:
    walk_until(road, step)

    process = StepProcess(road, step)
    with locked(admin_engine, table):
        process.kill_when(process.is_waiting_for_a_lock)
    process.wait_until_forgotten()

    assert road.value(leftovers) <= 0
    assert_all_arrives_once(road)


LOSE_THE_LOCK = """
    select pg_terminate_backend(pid) from pg_locks join pg_database on pg_database.oid = pg_locks.database
    where locktype = 'advisory' and datname = current_database()
"""


def test_nothing_is_posted_when_the_session_with_the_orders_lock_is_lost(road: Road, admin_engine: Engine) -> None:
    """The lock dies with its database session: another worker may have the order by then."""
    walk_until(road, "create_commerce_orders")

    def lose_the_session(moment: str) -> None:
        if moment == "after find_orders_of":
            with admin_engine.begin() as connection:
                connection.execute(text(LOSE_THE_LOCK))

    fragile = FragileRoad(
        road.engine,
        road.sandbox,
        road.scenario,
        settings=road.settings,
        stores=road.stores,
        cipher=road.cipher,
        skipped=road.skipped,
        run_number=road.run_number,
        at_moment=lose_the_session,
    )
    with fragile, pytest.raises(OperationalError):
        fragile.create_commerce_orders()

    assert road.sandbox.commerce_faults.calls["createOrder"] == 0
    assert_all_arrives_once(road)
