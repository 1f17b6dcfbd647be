"""The three DAGs in real Airflow: the whole road with its command `dags test`, and what it does when something fails."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from include.sandbox.faults import Fault
from tests.e2e.installation import ORDERS, REPORTING, SHIPMENTS, Installation
from tests.orders import order_id

# What tells which run did or saw something, and when, changes with each run; everything else may not.
LOGS = {"ops.api_calls", "ops.rate_limits", "ops.ingest_windows", "ops.ingest_pages", "ops.validation_results"}
STAMPS = {"dag_run_id", "loaded_at", "last_seen_at", "seen_count", "updated_at", "fetched_at"}


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
    (row,) = installation.rows(
        "select * from reporting.recent_orders where amazon_order_id = :id", id=amazon_order_id
    )
    return row


def test_order_when_it_travels_the_whole_road_and_back(installation: Installation) -> None:
    sound, short = order_id(1), order_id(2)
    amazon, shop = installation.sandbox.amazon, installation.sandbox.commerce
    installation.buy(sound, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
    installation.buy(short, {"VASE-GLASS-TALL": 10_000})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    with installation.console() as dags_test:
        orders = dags_test(ORDERS)
        assert orders.state == "success", orders.output
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


def test_other_accounts_when_one_has_wrong_credentials(installation: Installation) -> None:
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
    assert run.task("run_complete").state == "upstream_failed"
    assert [order["ext_order_id"] for order in installation.sandbox.commerce.orders()] == [order_id(1)]
    assert "MisconfiguredError" in run.output
    assert "Resolution: " in run.output
    assert "amazon_sp_api_eu" in run.output
    assert "wrong-secret-0815" not in run.output


def test_task_when_amazon_throttles(installation: Installation) -> None:
    installation.sandbox.amazon_faults.add(Fault("searchOrders", "throttle", retry_after=3))

    run = installation.dags_test(ORDERS)

    assert run.state == "success", run.output[-3000:]
    tries = sorted(task.tries for task in run.tasks if task.task_id == "extract_amazon_orders")
    assert tries == [1, 1, 2], "the throttled account alone was tried again"
    (first,) = installation.airflow_rows(
        "select state, retry_reason, retry_delay_override, task_id, end_date from task_instance_history"
    )
    assert (first.task_id, first.retry_reason) == ("extract_amazon_orders", "throttled")
    assert 1 <= first.retry_delay_override <= 3, "as Amazon says, not ORDERS_RETRY_DELAY_SECONDS"
    (second,) = installation.airflow_rows("select start_date from task_instance where try_number = 2")
    assert second.start_date - first.end_date >= timedelta(seconds=first.retry_delay_override)


def test_shop_when_it_is_away_for_a_moment(installation: Installation) -> None:
    installation.buy(order_id(1), {"TRAY-WALNUT": 1})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    installation.sandbox.commerce_faults.add(Fault("searchProducts", "html_503"))

    run = installation.dags_test(ORDERS)

    assert run.state == "success", run.output[-3000:]
    assert run.task("validate_orders").tries == 2
    (first,) = installation.airflow_rows("select retry_reason, retry_delay_override from task_instance_history")
    assert (first.retry_reason, first.retry_delay_override) == ("the other system failed", 1.0)
    assert len(installation.sandbox.commerce.orders()) == 1
