"""Every statement of a run finds its rows by index, however many finished orders there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bench.history import fill_history
from include.outbox.order_change_outbox import due_changes
from include.outbox.order_outbox import due_orders
from include.outbox.write_holds import WriteHolds, stopped_writes
from tests.support.road import Road

FINISHED, OPEN = 100_000, 200
# Tables that grow with history. Others hold what is open now, or a row for each store or window.
GROWING = {
    "amazon_orders",
    "blocker_episodes",
    "commerce_shipments",
    "ingest_pages",
    "order_change_outbox",
    "order_contacts",
    "order_items",
    "order_outbox",
    "order_status_changes",
    "orders",
    "recent_orders",
    "shipment_items",
    "shipment_outbox",
    "shipment_tracks",
    "shipments",
}
_EXPLAINABLE = re.compile(
    r"\s*(--[^\n]*\s*)*(select|insert|update|delete|with|create temporary table)\b", re.IGNORECASE
)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(node, table) of every access to a table in a plan."""
    if "Relation Name" in plan and plan["Node Type"] != "ModifyTable":
        yield plan["Node Type"], plan["Relation Name"]
    for child in plan.get("Plans", []):
        yield from scans(child)


@contextmanager
def plans_of(engine: Engine) -> Iterator[dict[str, set[tuple[str, str]]]]:
    """Explains every statement of the block where it runs, with its own parameters; scans by statement."""
    found: dict[str, set[tuple[str, str]]] = {}

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, is_many: bool) -> None:
        if not _EXPLAINABLE.match(statement) or "pg_catalog" in statement:
            return
        values = parameters[0] if is_many else parameters
        with connection.connection.dbapi_connection.cursor() as beside:
            beside.execute(f"explain (format json) {statement}", values)
            (answer,) = beside.fetchone()[0]
        found.setdefault(statement, set()).update(scans(answer["Plan"]))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", explain)


@pytest.fixture
def long_history(admin_engine: Engine) -> None:
    fill_history(admin_engine, finished=FINISHED, open_=OPEN)
    with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Nothing is due for creation, and no package for reading back.
        connection.exec_driver_sql(
            "update ops.order_outbox set next_attempt_at = now() + '1 day' where state = 'planned'"
        )
        connection.exec_driver_sql(
            "update ops.shipment_outbox set next_attempt_at = now() + '1 day' where state = 'sent'"
        )
        connection.exec_driver_sql("vacuum analyze")


def test_every_statement_of_a_run_has_an_index_plan_when_history_is_long(road: Road, long_history: None) -> None:
    road.run_number += 1
    with plans_of(road.engine) as found:
        accounts = road.stage_stores()
        road.stage_amazon_orders()
        road.validate_orders()
        for account_name in accounts:
            road.create_commerce_orders(account_name)
        road.extract_commerce_shipments()
        road.stage_commerce_shipments()
        for account_name in accounts:
            road.push_amazon_shipments(account_name)
            road.verify_amazon_shipments(account_name)
    used = {table for plan in found.values() for _, table in plan}
    assert used >= {"orders", "order_items", "order_outbox", "shipment_sweep", "commerce_shipments", "shipment_outbox"}
    full = _full(found)
    assert full == set(), json.dumps(sorted(full), indent=2)


def test_every_statement_of_the_breaker_has_an_index_plan_when_history_is_long(
    road: Road, long_history: None, admin_engine: Engine
) -> None:
    with admin_engine.begin() as connection:
        connection.exec_driver_sql("update ops.order_outbox set next_attempt_at = null where state = 'planned'")
    holds = WriteHolds(road.engine, road.settings, clock=road.now, dag_run_id="test")
    with plans_of(road.engine) as found:
        for account in road.stores.accounts:
            with road.engine.connect() as connection:
                rows = due_orders(connection, account.name, road.now())
                changes = due_changes(connection, account.name, road.now())
            holds.check_orders([row.amazon_order_id for row in rows])
            for row in rows[:2]:
                holds.is_order_stopped(row.amazon_order_id, row.store_name)
            holds.check_changes({row.store_name for row in (*rows, *changes)})
            with road.engine.connect() as connection:
                stopped_writes(connection, account.name)
    assert road.value("select count(*) from ops.store_norms where order_count > 100") > 0, "norms were computed"
    assert _full(found) == set(), json.dumps(sorted(_full(found)), indent=2)


def _full(found: dict[str, set[tuple[str, str]]]) -> set[tuple[str, str]]:
    return {
        (table, " ".join(statement.split())[:300])
        for statement, plan in found.items()
        for node, table in plan
        if node.endswith("Seq Scan") and table in GROWING
    }
