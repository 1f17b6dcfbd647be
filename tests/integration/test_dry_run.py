"""A dry run says what a run would do, to the order and the cent, and does nothing of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.steps import create_commerce_orders, validate_orders
from local.sandbox.faults import Fault
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

TRAY, MAT, UNKNOWN = "TRAY-WALNUT", "DOORMAT-COIR", "NOT-IN-THE-CATALOG"
WRITES = ("createOrder", "invoiceOrder", "cancelOrder", "refundOrder", "holdOrder", "unholdOrder", "saveAddress")
# What a run stores of the outside, dry or not.
READ = {"ops.api_calls", "ops.rate_limits", "ops.dry_run_results"}


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def dry_run(road: Road) -> dict[str, list[Any]]:
    """Results by Amazon order id of a dry run, which is to change nothing but them, here or in the shop."""
    road.pass_time(minutes=10)
    road.new_task()
    road.run_number += 1
    for account_name in road.stage_stores():
        road.extract_amazon_orders(account_name)
    road.stage_amazon_orders()
    before, calls = road.dump(), road.sandbox.commerce_faults.calls
    written = {name: calls[name] for name in WRITES}
    stamp: dict[str, Any] = {"dag_run_id": road.run_id, "is_dry_run": True}
    accounts = validate_orders.run(road.engine, road.commerce, road.stores, road.settings, now=road.now(), **stamp)
    for account_name in accounts:
        create_commerce_orders.run(
            road.engine, road.commerce, road.cipher, account_name, road.stores, road.settings, clock=road.now, **stamp
        )
    after = road.dump()
    assert {table: rows for table, rows in after.items() if table not in READ} == {
        table: rows for table, rows in before.items() if table not in READ
    }
    assert {name: calls[name] for name in WRITES} == written
    found: dict[str, list[Any]] = {}
    query = "select * from ops.dry_run_results where dag_run_id = :id order by amazon_order_id, action"
    for row in road.rows(query, id=road.run_id):
        found.setdefault(row.amazon_order_id, []).append(row)
    return found


def test_results_tell_what_a_run_would_do_when_orders_of_each_kind_wait(road: Road) -> None:
    created, blocked, pending, left_out = map(order_id, range(1, 5))
    road.buy(created, {TRAY: 2})
    road.buy(blocked, {UNKNOWN: 1})
    road.buy(pending, {TRAY: 1}, status="PENDING", has_money=False)
    road.buy(left_out, {TRAY: 1}, status="CANCELLED")
    found = dry_run(road)
    assert {one: [row.action for row in rows] for one, rows in found.items()} == {
        created: ["create"], blocked: ["block"], pending: ["wait"], left_out: ["leave_out"],
    }  # fmt: skip
    (row,) = found[created]
    total = road.sandbox.amazon.order(created)["proceeds"]["grandTotal"]
    assert (row.amount, row.currency_code, row.store_name) == (Decimal(total["amount"]), "USD", "Acme US")
    assert found[blocked][0].blocker_codes == ["missing_product"]
    assert UNKNOWN in found[blocked][0].reason

    road.next_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [created], "as the dry run said"
    assert road.shown(blocked).blocker_codes == ["missing_product"]


def test_change_is_found_and_not_made_when_amazon_cancels_after_creation(road: Road) -> None:
    one = order_id(1)
    road.buy(one, {TRAY: 2, MAT: 1})
    road.next_run()
    road.sandbox.amazon.apply(one, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    (row,) = dry_run(road)[one]
    assert row.action == "canceled_units"
    assert "Amazon canceled 2 of TRAY-WALNUT, 1 of DOORMAT-COIR." in row.reason
    road.next_run()
    assert road.sandbox.commerce_faults.calls["refundOrder"] == 1


def test_order_in_doubt_is_listed_when_it_is_due(road: Road) -> None:
    one = order_id(1)
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    road.buy(one, {TRAY: 1})
    road.run_as_airflow()
    assert [row.action for row in dry_run(road)[one]] == ["look_up"]


def test_order_would_be_linked_when_commerce_has_it_already(road: Road) -> None:
    one = order_id(1)
    road.buy(one, {TRAY: 1})
    road.next_run()
    with road.engine.begin() as connection:
        for table in ("ops.blocker_episodes", "ops.shipment_sweep", "ops.order_outbox"):
            connection.exec_driver_sql(f"delete from {table}")
        connection.exec_driver_sql("update core.orders set pipeline_state = 'new'")
    (row,) = dry_run(road)[one]
    assert (row.action, "would be linked" in row.reason) == ("adopt", True)


def test_results_are_the_same_when_a_task_of_the_dry_run_is_repeated(road: Road) -> None:
    road.buy(order_id(1), {TRAY: 1})
    road.buy(order_id(2), {UNKNOWN: 1})
    first = {one: [row.action for row in rows] for one, rows in dry_run(road).items()}
    stamp: dict[str, Any] = {"dag_run_id": road.run_id, "is_dry_run": True}
    validate_orders.run(road.engine, road.commerce, road.stores, road.settings, now=road.now(), **stamp)
    query = "select amazon_order_id, action from ops.dry_run_results where dag_run_id = :id"
    assert {row.amazon_order_id: [row.action] for row in road.rows(query, id=road.run_id)} == first
