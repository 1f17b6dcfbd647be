"""Turns the landed pages into core.orders, core.order_items and the history of Amazon's status; set-based SQL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, TextClause

from include.adapters.amazon.landed_orders import collect_landed_orders, landed_order_ids
from include.database.isolation import describe, isolate
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.domain.marketplaces import CURRENCIES_WITHOUT_CENTS
from include.outbox.blocker_episodes import close_findings
from include.outbox.pipeline_state import move_orders, move_selected
from include.outbox.work_loop import summary

log = logging.getLogger(__name__)

_REMEDY = (
    "Check the order in Seller Central. It is staged when Amazon sends a newer version; the database refuses this one: "
    "report the finding to this project."
)
_WRITES = (
    "write_orders",
    "write_items",
    "drop_items_that_left",
    "cancel_items_that_left",
    "write_status_changes",
)


def run(engine: Engine, *, now: datetime, dag_run_id: str) -> dict[str, int]:
    """Stage every landed page that is not staged yet, in one transaction. Returns counts.

    They are pages, versions, orders, and quarantined: orders that the database refuses are found and set aside, and
    the rest goes on. Linked orders whose shipment an earlier run has seen are completed.

    The newest version of an order wins, whichever page brought it; older ones only add to the history. Only writer of
    core.order_items and of Amazon's facts in core.orders.
    """
    statements = load_statements(__file__)
    keys = {"now": now, "dag_run_id": dag_run_id}
    counts = {"pages": 0, "versions": 0, "orders": 0, "quarantined": 0}
    with engine.begin() as connection:
        wait_for_lock(connection, "stage_amazon_orders")
        _complete(connection, keys)
        counts["pages"] = connection.execute(statements["claim_pages"]).rowcount
        if counts["pages"]:

            def attempt(order_ids: Sequence[str]) -> None:
                with connection.begin_nested():
                    versions, orders = _stage(connection, order_ids, keys)
                counts["versions"] += versions
                counts["orders"] += orders

            failures = isolate(landed_order_ids(connection), attempt)
            counts["quarantined"] = len(failures)
            if failures:
                findings = {order_id: f"cannot be staged: {describe(error)}" for order_id, error in failures}
                values = {"order_ids": list(findings), "findings": list(findings.values()), "remedy": _REMEDY}
                connection.execute(statements["quarantine_orders"], values | keys)
                for order_id, finding in findings.items():
                    log.warning("stage_amazon_orders: order=%s quarantined: %s", order_id, finding)
            connection.execute(statements["finish_pages"], keys)
    log.info("stage_amazon_orders: %s", summary(counts))
    return counts


def _complete(connection: Connection, keys: dict[str, Any]) -> None:
    """Complete the linked orders that are shipped; one that the database refuses stays where it is."""
    rows = connection.execute(load_statements(__file__)["orders_to_complete"], keys).all()

    def attempt(moves: Sequence[tuple[str, str, str]]) -> None:
        with connection.begin_nested():
            move_orders(connection, moves, **keys)

    for move, error in isolate([(row.amazon_order_id, row.to_code, row.reason) for row in rows], attempt):
        log.warning("stage_amazon_orders: order=%s cannot be completed: %s", move[0], describe(error))


def _stage(connection: Connection, order_ids: Sequence[str], keys: dict[str, Any]) -> tuple[int, int]:
    """Stage the claimed versions of these orders; returns the number of versions and of changed orders."""
    versions, orders = collect_changes(connection, order_ids)
    write_changes(connection, load_statements(__file__)["orders_to_check_again"], keys)
    return versions, orders


def collect_changes(connection: Connection, order_ids: Sequence[str], *, is_replay: bool = False) -> tuple[int, int]:
    """Compare the claimed versions of these orders with core: the numbers of versions and of changed orders.

    Leaves temporary tables, which `drop_collected` drops. With `is_replay`, orders whose newest version is known count
    as changed, too.
    """
    statements = load_statements(__file__)
    versions = collect_landed_orders(connection, order_ids)
    connection.execute(statements["collect_status_changes"])
    values = {"currencies_without_cents": list(CURRENCIES_WITHOUT_CENTS), "is_replay": is_replay}
    return versions, connection.execute(statements["collect_changed_orders"], values).rowcount


def write_changes(
    connection: Connection, to_check_again: TextClause, keys: dict[str, Any], *, is_replay: bool = False
) -> None:
    """Write what `collect_changes` found; `to_check_again` selects the orders that validation is to take up anew.

    What failed is not attempted afresh with `is_replay`: nothing has changed on Amazon.
    """
    statements = load_statements(__file__)
    for name in _WRITES:
        connection.execute(statements[name], keys)
    if not is_replay:
        connection.execute(statements["resume_attempts"], keys)
    agreeing = connection.execute(statements["agreeing_totals"]).scalars().all()
    close_findings(connection, [(order_id, "total_mismatch") for order_id in agreeing], **keys)
    move_selected(connection, to_check_again, {}, **keys)
    connection.execute(statements["release_quarantined"], keys)
    drop_collected(connection)


def drop_collected(connection: Connection) -> None:
    """Drop the temporary tables of `collect_changes`, so that the same transaction can collect anew."""
    connection.execute(load_statements(__file__)["drop_collected"])
