"""The DAGs in real Airflow: the whole road with its command `dags test`, and what it does about failures."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from local.sandbox.faults import Fault
from tests.support.installation import ORDERS, REPORTING, SHIPMENTS, DagRun, Installation
from tests.support.orders import order_id

# What tells which run did or saw something, and when, changes with each run; everything else may not.
LOGS = {
    "ops.api_calls",
    "ops.commerce_cursors",
    "ops.dag_runs",
    "ops.ingest_coverage",
    "ops.ingest_pages",
    "ops.ingest_windows",
    "ops.rate_limits",
    "ops.shipment_sweep",
    "ops.validation_results",
}
STAMPS = {"dag_run_id", "loaded_at", "last_seen_at", "check_count", "checked_at", "updated_at", "fetched_at"}


def contents(installation: Installation) -> dict[str, Counter[str]]:
    """All rows of all tables of the orders database, without the logs and the stamps of the run."""
    tables = installation.rows(
        "select table_schema || '.' || table_name as name, array_agg(column_name::text order by column_name) as columns"
        " from information_schema.columns join information_schema.tables using (table_schema, table_name)"
        " where table_type = 'BASE TABLE' and table_schema in ('raw', 'pii', 'core', 'ops', 'reporting') group by 1"
    )
    assert tables
    return {
        table.name: Counter(
            str(tuple(row))
            for row in installation.rows(
                f"select {', '.join(column for column in table.columns if column not in STAMPS)} from {table.name}"
            )
        )
        for table in tables
        if table.name not in LOGS
    }


def shown(installation: Installation, amazon_order_id: str) -> Any:
    """The order's row of Recent Orders."""
    (row,) = installation.rows("select * from reporting.recent_orders where amazon_order_id = :id", id=amazon_order_id)
    return row


def test_order_is_completed_once_when_it_travels_the_whole_road_and_back(installation: Installation) -> None:
    sound, short = order_id(1), order_id(2)
    amazon, shop = installation.sandbox.amazon, installation.sandbox.commerce
    installation.buy(sound, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    installation.buy(short, {"VASE-GLASS-TALL": 10_000})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    with installation.console() as dags_test:
        orders = dags_test(ORDERS)
        assert orders.state == "success", orders.output[-3000:]
        assert [order["ext_order_id"] for order in shop.orders()] == [sound]
        assert dags_test(REPORTING).state == "success"
        assert shown(installation, sound).status == "Unshipped"
        assert (shown(installation, short).status, shown(installation, short).blocker_codes) == (
            "Error",
            ["out_of_stock"],
        )

        shop.ship(sound, None, [("ups", "UPS", "1Z999")])
        assert dags_test(SHIPMENTS).state == "success"
        assert [package["trackingNumber"] for package in amazon.order(sound)["packages"]] == ["1Z999"]
        installation.sandbox.clock.advance(timedelta(minutes=10))
        verified = dags_test(SHIPMENTS)
        assert verified.task("verify_amazon_shipments", "acme-na").state == "success"
        assert [row.state for row in installation.rows("select state from ops.shipment_outbox")] == ["accepted"]
        for dag_id in (ORDERS, ORDERS, REPORTING):
            assert dags_test(dag_id).state == "success"
        fresh = installation.rows("select distinct dag_id, last_run_state, is_overdue from reporting.data_freshness")
        assert {tuple(row) for row in fresh} == {
            (dag_id, "success", False) for dag_id in (ORDERS, SHIPMENTS, REPORTING)
        }
        row = shown(installation, sound)
        assert (row.status, row.commerce_order_number) == ("Completed", shop.orders()[0]["increment_id"])

        before = contents(installation)
        for dag_id in (ORDERS, SHIPMENTS, REPORTING):
            assert dags_test(dag_id).state == "success"
        after = contents(installation)
    for table, rows in before.items():
        assert after[table] == rows, table
    assert len(shop.orders()) == 1
    assert len(amazon.confirmations) == 1
    assert shop.mails == []


def test_other_accounts_go_on_when_one_has_wrong_credentials(installation: Installation) -> None:
    installation.connections["amazon_sp_api_eu"]["extra"]["client_secret"] = "wrong-secret-0815"
    installation.buy(order_id(1), {"TRAY-WALNUT": 1})
    installation.sandbox.clock.advance(timedelta(minutes=10))

    run = installation.dags_test(ORDERS)

    assert run.state == "failed"
    failed = run.task("extract_amazon_orders", "acme-eu")
    assert (failed.state, failed.tries) == ("failed", 1), "only a person can mend it"
    assert installation.sandbox.amazon_faults.calls["token"] == 3, "one per account"
    assert run.task("extract_amazon_orders", "acme-na").state == "success"
    assert run.task("create_commerce_orders", "acme-na").state == "success"
    assert run.task("run_complete").state == "failed"
    assert [order["ext_order_id"] for order in installation.sandbox.commerce.orders()] == [order_id(1)]
    reason = "refused (invalid_client). Resolution: client_id or client_secret is invalid"
    assert re.search(rf"\[error +\] amazon token for account acme-eu: {re.escape(reason)}", run.output)
    assert "amazon_sp_api_eu" in run.output
    assert "Traceback" not in run.output
    assert "wrong-secret-0815" not in run.output


def test_throttled_task_alone_is_retried_when_amazon_throttles(installation: Installation) -> None:
    installation.sandbox.amazon_faults.add(Fault("searchOrders", "throttle", retry_after=5))
    with ThreadPoolExecutor() as beside:
        running = beside.submit(installation.dags_test, ORDERS)
        waiting = wait_for(installation, "select * from task_instance where state = 'up_for_retry'", running)
        # Our own share of the quota is gone as well; three minutes pass.
        installation.rows("update ops.rate_limits set tokens = burst returning 1")
        run = running.result()

    assert (waiting.task_id, waiting.retry_reason) == ("extract_amazon_orders", "throttled")
    assert waiting.retry_delay_override == 5, "as Amazon says, not ORDERS_RETRY_DELAY_SECONDS"
    assert run.state == "success", run.output[-3000:]
    tries = sorted(task.tries for task in run.tasks if task.task_id == "extract_amazon_orders")
    assert tries == [1, 1, 2], "the throttled account alone was tried again"
    (again,) = installation.airflow_rows("select start_date from task_instance where try_number = 2")
    assert again.start_date - waiting.end_date >= timedelta(seconds=5)


def wait_for(installation: Installation, query: str, running: Future[DagRun]) -> Any:
    """The one row of a query on Airflow's database, as soon as there is one. Raises when the run ends before."""
    while True:
        rows = installation.airflow_rows(query)
        if rows:
            (row,) = rows
            return row
        assert not running.done(), "the run has ended without it"
        time.sleep(0.2)


def test_task_is_retried_when_the_shop_is_away_for_a_moment(installation: Installation) -> None:
    installation.buy(order_id(1), {"TRAY-WALNUT": 1})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    installation.sandbox.commerce_faults.add(Fault("searchProducts", "html_503"))

    run = installation.dags_test(ORDERS)

    assert run.state == "success", run.output[-3000:]
    assert run.task("validate_orders").tries == 2
    (first,) = installation.airflow_rows("select retry_reason, retry_delay_override from task_instance_history")
    assert (first.retry_reason, first.retry_delay_override) == ("the other system failed", 1.0)
    assert len(installation.sandbox.commerce.orders()) == 1


def test_order_is_repaired_after_a_rehearsal_when_people_trigger_both(installation: Installation) -> None:
    one, other, unknown = order_id(1), order_id(2), "NOT-IN-THE-CATALOG"
    shop, calls = installation.sandbox.commerce, installation.sandbox.commerce_faults.calls
    installation.buy(one, {unknown: 1})
    installation.buy(other, {"TRAY-WALNUT": 1})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    with installation.console() as dags_test:
        rehearsal = dags_test(ORDERS, dry_run=True, accounts=["acme-na"])
        assert rehearsal.state == "success", rehearsal.output[-3000:]
        assert (calls["createOrder"], calls["invoiceOrder"]) == (0, 0)
        query = "select amazon_order_id, action from ops.dry_run_results order by 1"
        assert [tuple(row) for row in installation.rows(query)] == [(one, "block"), (other, "create")]
        assert f"dry run: order={other} would create" in rehearsal.output

        refused = dags_test("repair_amazon_order", amazon_order_id=one, action="retry")
        assert refused.state == "failed"
        assert "The param comment is empty. Resolution: fill it in." in refused.output
        repaired = dags_test(
            "repair_amazon_order",
            amazon_order_id=one,
            action="correct",
            sku_map={unknown: "TRAY-WALNUT"},
            comment="The listing has a typing error.",
        )
        assert repaired.state == "success", repaired.output[-3000:]
        assert dags_test(ORDERS).state == "success"
    assert sorted(order["ext_order_id"] for order in shop.orders()) == [one, other]
    (kept,) = installation.rows("select action, repaired_by from ops.order_repairs")
    assert tuple(kept) == ("correct", "dag_test")


def test_nothing_is_done_when_a_param_is_wrong(installation: Installation) -> None:
    """A rehearsal whose name is misspelled must not create orders, and no such run speaks of the sync."""
    with installation.console() as dags_test:
        assert dags_test(ORDERS).state == "success"
        one = order_id(1)
        installation.buy(one, {"TRAY-WALNUT": 1})
        installation.sandbox.clock.advance(timedelta(minutes=10))
        calls = dict(installation.sandbox.commerce_faults.calls)
        for dag_id, params, message in (
            (ORDERS, {"accounts": ["nobody"]}, "The param accounts names nobody, which "),
            (ORDERS, {"dryrun": True}, f"The DAG {ORDERS} has no param dryrun. Nothing was done."),
            (SHIPMENTS, {"dryrun": True}, f"The DAG {SHIPMENTS} has no param dryrun. Nothing was done."),
        ):
            refused = dags_test(dag_id, **params)
            assert refused.state == "failed"
            assert message in refused.output
    assert dict(installation.sandbox.commerce_faults.calls) == calls
    assert installation.rows("select * from core.orders") == []
    states = installation.rows("select last_run_state from reporting.data_freshness where last_run_state is not null")
    assert {row.last_run_state for row in states} == {"success"}


def test_order_is_canceled_once_when_people_trigger_it_twice(installation: Installation) -> None:
    one, other = order_id(1), order_id(2)
    installation.buy(one, {"TRAY-WALNUT": 1})
    installation.buy(other, {"TRAY-WALNUT": 1}, status="PENDING", has_money=False)
    installation.sandbox.clock.advance(timedelta(minutes=10))
    amazon, shop = installation.sandbox.amazon, installation.sandbox.commerce
    wanted = {"amazon_order_ids": [one], "reason": "NO_INVENTORY"}
    with installation.console() as dags_test:
        assert dags_test(ORDERS).state == "success"
        refused = dags_test("cancel_amazon_order", **wanted, order="x")
        assert refused.state == "failed"
        assert "The DAG cancel_amazon_order has no param order." in refused.output
        rehearsal = dags_test("cancel_amazon_order", **wanted, dry_run=True)
        assert rehearsal.state == "success", rehearsal.output[-3000:]
        assert (installation.rows("select * from ops.cancellation_outbox"), amazon.feeds.all()) == ([], [])

        partly = dags_test("cancel_amazon_order", **wanted | {"amazon_order_ids": [one, other]})
        assert partly.state == "failed"
        assert f"1 of 2 orders cannot be canceled, 1 can. {other}: Amazon is still verifying" in partly.output
        assert len(amazon.feeds.all()) == 1, "the other one does not wait"
        again = dags_test("cancel_amazon_order", **wanted)
        assert again.state == "success", again.output[-3000:]
        installation.sandbox.clock.advance(timedelta(minutes=10))
        assert dags_test(SHIPMENTS).state == "success"
        assert dags_test(ORDERS).state == "success"
        assert dags_test(SHIPMENTS).state == "success"
        assert dags_test(REPORTING).state == "success"
    assert len(amazon.feeds.all()) == 1
    (order,) = shop.orders()
    assert order["state"] in ("canceled", "closed")
    row = shown(installation, one)
    assert (row.status, row.order_notes.partition(".")[0]) == ("Canceled", "Canceled by dag_test (NO_INVENTORY)")
