"""Refreshes reporting.recent_orders from core and ops; rows that say the same as before are left alone."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Engine

from include.database.locks import wait_for_lock
from include.database.statements import load_statements

log = logging.getLogger(__name__)


def run(engine: Engine, *, now: datetime, dag_run_id: str) -> dict[str, int]:
    """Write the rows that changed, in one transaction. Returns counts: read, written. Only writer of the table."""
    statements = load_statements(__file__)
    with engine.begin() as connection:
        wait_for_lock(connection, "publish_recent_orders")
        read = connection.execute(statements["collect_rows"]).rowcount
        written = connection.execute(statements["publish"], {"now": now, "dag_run_id": dag_run_id}).rowcount
        for row in connection.execute(statements["unknown_statuses"]):
            log.info(
                "publish_recent_orders: Amazon's status %s is new to us (%d orders); shown as it is.",
                row.status,
                row.order_count,
            )
    log.info("publish_recent_orders: read=%d written=%d", read, written)
    return {"read": read, "written": written}
