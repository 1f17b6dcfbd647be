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
STAMPS = {"dag_run_id", "loaded_at", "last_seen_at", "checked_at", "updated_at", "fetched_at"}


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
