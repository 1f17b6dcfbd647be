"""Publishing reads what changed by index, however many orders there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from bench.history import fill_history, order_id
from include.database.statements import load_statements
from include.steps import publish_recent_orders as step

FINISHED = 100_000
# Read whole on purpose: when a release brings other rules; stores are few.
NOT_EVERY_RUN = {"queue_all_orders"}
SMALL = {"stores", "published_rules", "write_holds", "write_hold_decisions"}  # the last two: rows per stop


def scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """(node, table) of every access to a table in a plan."""
    own = [(plan["Node Type"], plan["Relation Name"])] if "Relation Name" in plan else []
    return own + [scan for child in plan.get("Plans", []) for scan in scans(child)]


def explain(connection: Connection, statement: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    (answer,) = connection.execute(text(f"explain (format json) {statement}"), values).scalar_one()
    return scans((json.loads(answer) if isinstance(answer, str) else answer)["Plan"])


def test_every_statement_of_a_run_has_an_index_plan_when_history_is_long(engine: Engine, admin_engine: Engine) -> None:
    fill_history(admin_engine, finished=FINISHED)
    # A backlog, so that the queue's own plans are those of a full queue.
    with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        queue_half = (
            "insert into ops.orders_to_publish (amazon_order_id) select amazon_order_id from core.orders limit 50000"
        )
        connection.execute(text(queue_half))
        connection.execute(
            text(
                "insert into ops.cancellation_outbox (amazon_order_id, requested_dag_run_id, account_name,"
                " marketplace_id, reason, requested_by, requested_at, state, note, dag_run_id, updated_at)"
                " select amazon_order_id, 'r', account_name, 'm', 'NO_INVENTORY', 'olga', now(), 'refused', 'no', 'r',"
                " now() from core.orders limit 20000"
            )
        )
        connection.execute(text("analyze ops.orders_to_publish, ops.cancellation_outbox"))
        last = connection.execute(text("select max(queue_id) from ops.orders_to_publish")).scalar_one()
    values = {
        **step.STATUSES,
        "order_ids": [order_id(1 + number * FINISHED // 100) for number in range(100)],
        "batch_size": step.BATCH_SIZE,
        "queue_id": last - 100,
        "failed_ids": [],
        "rules_sha256": "0",
        "now": datetime.now(UTC),
        "dag_run_id": "test",
    }
    found = {}
    with engine.connect() as connection:
        for name, statement in load_statements(step.__file__).items():
            if name not in NOT_EVERY_RUN:
                names = set(statement._bindparams)
                used = {key: value for key, value in values.items() if key in names}
                found[name] = explain(connection, statement.text, used)
    assert {table for _, table in found["publish"]} >= {
        "orders", "order_outbox", "shipment_outbox", "blocker_episodes", "shipments", "quarantined_orders",
        "order_change_outbox",
    }  # fmt: skip
    assert {table for _, table in found["claim"] + found["first_of_batch"]} == {"orders_to_publish"}
    full = [(name, *scan) for name, plan in found.items() for scan in plan if scan[0].endswith("Seq Scan")]
    assert [scan for scan in full if scan[2] not in SMALL] == []
