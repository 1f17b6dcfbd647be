"""Writes the rows of reporting.recent_orders, and of the facts for analysts, of the orders that changed; no others.

Triggers queue every order of which a shown fact changes (include/database/triggers/orders_to_publish.sql).
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from include.database.facts import fact_rules, write_dimensions, write_facts
from include.database.isolation import describe, isolate
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.domain.errors import RunIncompleteError
from include.domain.statuses import (
    AMAZON_STATUSES,
    BLOCKED_STATES,
    CANCELED,
    CANCELED_STATUSES,
    COMPLETED,
    ERROR,
    SHOWN_STATUSES,
)

log = logging.getLogger(__name__)

# Queue entries of one transaction: what a killed publisher does again, and few enough to need no temporary file.
BATCH_SIZE = 10_000
# What the query knows of statuses.
STATUSES: dict[str, Any] = {
    "amazon_statuses": list(AMAZON_STATUSES),
    "shown_statuses": [status.name for status in AMAZON_STATUSES.values()],
    "canceled_statuses": sorted(CANCELED_STATUSES),
    "blocked_states": list(BLOCKED_STATES),
    "canceled": CANCELED.name,
    "error": ERROR.name,
    "completed": COMPLETED.name,
}


def run(engine: Engine, *, now: datetime, dag_run_id: str, at_risk: timedelta = timedelta(hours=24)) -> dict[str, int]:
    """Write the rows of the queued orders, batch by batch, newest entries first. Returns counts: read, written.

    A batch leaves the queue in the transaction that writes its rows, so that nothing is lost when the publisher dies.
    When the rules of this module or its queries changed, all orders are queued first. An order whose rows cannot be
    written stays queued and fails the run with RunIncompleteError after all others. `at_risk`: how long before its
    ship-by time an open order is at risk (dim_stores). Only writer of these tables.
    """
    read = 0
    written: Counter[str] = Counter()
    failed: set[str] = set()
    keys: dict[str, Any] = {"now": now, "dag_run_id": dag_run_id}
    with engine.connect() as connection:
        _queue_all_when_rules_changed(connection, now)
        with connection.begin():
            wait_for_lock(connection, "publish_recent_orders")
            write_dimensions(connection, {**keys, "at_risk_hours": at_risk / timedelta(hours=1)})
        while True:
            with connection.begin():
                order_ids, is_last = _claim(connection, failed)
                failed |= _publish(connection, order_ids, keys, written)
            read += len(order_ids)
            if is_last:
                break
    for status, count in sorted(written.items()):
        if status not in SHOWN_STATUSES:
            log.info(
                "publish_recent_orders: Amazon's status %s is new to us (%d orders); shown as it is.", status, count
            )
    log.info("publish_recent_orders: read=%d written=%d", read, written.total())
    if failed:
        raise RunIncompleteError(
            f"{len(failed)} of {read} changed orders could not be published, among them {min(failed)}; Recent Orders "
            "shows their last state. Resolution: the reasons are in the log above; they are retried by every run."
        )
    return {"read": read, "written": written.total()}


def _queue_all_when_rules_changed(connection: Connection, now: datetime) -> None:
    statements = load_statements(__file__)
    rules = f"{statements['publish'].text} {sorted(STATUSES.items())} {fact_rules()}"
    rules_sha256 = hashlib.sha256(rules.encode()).hexdigest()
    with connection.begin():
        wait_for_lock(connection, "publish_recent_orders")
        if connection.scalars(statements["known_rules"]).all() != [rules_sha256]:
            connection.execute(statements["forget_rules"])
            connection.execute(statements["remember_rules"], {"rules_sha256": rules_sha256, "now": now})
            queued = connection.execute(statements["queue_all_orders"]).rowcount
            log.info("publish_recent_orders: the rules changed; all %d orders are published again.", queued)


def _claim(connection: Connection, failed: set[str]) -> tuple[list[str], bool]:
    """Take the newest entries out of the queue. Returns their orders, each once, and whether this was the last batch.

    Entries of the `failed` orders stay.
    """
    statements = load_statements(__file__)
    wait_for_lock(connection, "publish_recent_orders")
    first, count = connection.execute(statements["first_of_batch"], {"batch_size": BATCH_SIZE}).one()
    if first is None:
        return [], True
    claimed = connection.scalars(statements["claim"], {"queue_id": first, "failed_ids": sorted(failed)}).all()
    return sorted(set(claimed)), count < BATCH_SIZE or not claimed


def _publish(connection: Connection, order_ids: list[str], keys: dict[str, Any], written: Counter[str]) -> set[str]:
    """Write the orders' rows and facts, count the rows by shown status, and return the orders that cannot be written.

    Those go back into the queue.
    """
    statements = load_statements(__file__)

    def attempt(part: Sequence[str]) -> None:
        values = {"order_ids": list(part), **STATUSES, **keys}
        with connection.begin_nested():
            rows = connection.execute(statements["publish"], values).all()
            write_facts(connection, part, keys)
        written.update(dict(rows))

    failures = isolate(order_ids, attempt)
    for order_id, error in failures:
        log.error("publish_recent_orders: order=%s cannot be published: %s", order_id, describe(error))
    if failures:
        connection.execute(statements["put_back"], {"order_ids": [order_id for order_id, _ in failures]})
    return {order_id for order_id, _ in failures}
