"""Turns the landed pages into core.orders, core.order_items and the history of Amazon's status; set-based SQL."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Engine

from include.adapters.amazon.landed_orders import collect_landed_orders
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.outbox.pipeline_state import move_selected

log = logging.getLogger(__name__)


def run(engine: Engine, *, now: datetime, dag_run_id: str) -> dict[str, int]:
    """Stage every landed page that is not staged yet, in one transaction. Returns counts: pages, versions, orders.

    Linked orders whose shipment an earlier run has seen are completed.

    The newest version of an order wins, whichever page brought it; older ones only add to the history. Only writer of
    core.order_items and of Amazon's facts in core.orders.
    """
    statements = load_statements(__file__)
    keys = {"now": now, "dag_run_id": dag_run_id}
    with engine.begin() as connection:
        wait_for_lock(connection, "stage_amazon_orders")
        move_selected(connection, statements["orders_to_complete"], {}, now=now, dag_run_id=dag_run_id)
        pages = connection.execute(statements["claim_pages"]).rowcount
        counts = {"pages": pages, "versions": 0, "orders": 0}
        if pages:
            counts["versions"] = collect_landed_orders(connection)
            connection.execute(statements["collect_status_changes"])
            counts["orders"] = connection.execute(statements["collect_changed_orders"]).rowcount
            for name in ("write_orders", "write_items", "drop_items_that_left", "write_status_changes"):
                connection.execute(statements[name], keys)
            connection.execute(statements["resume_attempts"], keys)
            move_selected(connection, statements["orders_to_check_again"], {}, now=now, dag_run_id=dag_run_id)
            connection.execute(statements["finish_pages"], keys)
    log.info("stage_amazon_orders: %s", " ".join(f"{name}={count}" for name, count in counts.items()))
    return counts
