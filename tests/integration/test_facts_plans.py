"""Facts are written, and the analysts' views read, by index, however many orders there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from bench.history import fill_history, order_id
from include.database import facts
from include.database.tables.facts import FACTS

FINISHED = 20_000
MONTH = "between current_date - 60 and current_date - 31 and store_name = 'Acme US'"
# View -> a question about one store and one month; what is open now is few at any time.
QUESTIONS = {
    "daily_sales": f"sales_date {MONTH}",
    "daily_sales_by_sku": f"sales_date {MONTH}",
    "cancellations": f"sales_date {MONTH}",
    "time_to_commerce": f"created_date {MONTH}",
    "fulfilment_lateness_daily": f"ship_by_date {MONTH}",
    "blocker_history_daily": f"history_date {MONTH}",
    "blocked_revenue": "store_name = 'Acme US'",
    "ship_by_risk": "store_name = 'Acme US'",
    "order_timeline": f"amazon_order_id = '{order_id(77)}'",
}
# The same of all stores.
UNFILTERED = ["daily_sales", "daily_sales_by_sku", "cancellations", "blocker_history_daily"]
# More blockers than the history has, so that their table is not too small for an index.
SOLVED = """
    insert into ops.blocker_episodes (
        amazon_order_id, amazon_item_id, blocker_code, severity, message, remedy, opened_at, last_seen_at, closed_at,
        closed_by_code, dag_run_id
    )
    select
        amazon_order_id, '', 'out_of_stock', 'critical', 'm', 'r', purchased_at, purchased_at,
        purchased_at + interval '1 hour', 'solved', 'test'
    from core.orders
"""
SMALL = {"dim_marketplaces", "dim_stores"}


def _scans(connection: Any, statement: str, values: dict[str, Any]) -> set[tuple[str, str]]:
    (answer,) = connection.execute(text(f"explain (format json) {statement}"), values).scalar_one()

    def scans(plan: dict[str, Any]) -> set[tuple[str, str]]:
        own = {(plan["Node Type"], plan["Relation Name"])} if "Relation Name" in plan else set()
        return own.union(*(scans(child) for child in plan.get("Plans", [])))

    return scans((json.loads(answer) if isinstance(answer, str) else answer)["Plan"])


def test_no_fact_is_read_whole_when_facts_are_written_or_a_month_is_asked_for(admin_engine: Engine) -> None:
    fill_history(admin_engine, finished=FINISHED)
    keys = {"now": datetime.now(UTC), "dag_run_id": "test"}
    with admin_engine.begin() as connection:
        connection.execute(text(SOLVED))
        facts.write_facts(connection, [order_id(number) for number in range(1, FINISHED + 1)], keys)
    plans: dict[str, set[tuple[str, str]]] = {}
    with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        assert connection.execute(text("select count(*) from reporting.fct_orders")).scalar_one() > FINISHED
        changed = [order_id(1 + number * FINISHED // 100) for number in range(100)]
        for table in FACTS:
            statement, values = facts.prepared(table, {"order_ids": changed, **keys})
            plans[table.name] = _scans(connection, statement.text, values)
        for view, question in QUESTIONS.items():
            plans[view] = _scans(connection, f"select * from reporting.{view} where {question}", {})
        for view in UNFILTERED:
            question = QUESTIONS[view].replace(" and store_name = 'Acme US'", "")
            plans[f"{view}, all"] = _scans(connection, f"select * from reporting.{view} where {question}", {})
    assert {table for _, table in plans["daily_sales"]} == {"fct_orders"}
    assert {table for _, table in plans["fct_orders"]} >= {"orders", "order_items", "order_status_changes"}
    full = {
        (name, *scan)
        for name, found in plans.items()
        for scan in found
        if scan[0].endswith("Seq Scan") and scan[1] not in SMALL
    }
    assert full == set()
