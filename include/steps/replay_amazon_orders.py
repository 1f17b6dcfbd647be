"""Rebuilds core from raw for a range of orders: what is read differently today is listed, then written.

What later steps and people know of an order stays: its pipeline state, its Commerce order, and corrections.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.database.isolation import describe, isolate
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.domain.stores import Stores
from include.outbox.request_params import moment_param, refused_param, texts_param
from include.outbox.work_loop import summary
from include.steps.stage_amazon_orders import collect_changes, drop_collected, write_changes

log = logging.getLogger(__name__)

# Orders of one transaction: staging waits for no more.
_BATCH = 500
# Differences in the log; all are in ops.replay_differences.
_MOST_LINES = 100


@dataclass(frozen=True)
class ReplayRequest:
    """Which orders to rebuild; None: no limit of that kind. Times are those of Amazon's last change, aware, UTC."""

    account_name: str | None
    updated_from: datetime | None
    updated_to: datetime | None
    amazon_order_ids: tuple[str, ...] | None


def read_request(params: Mapping[str, Any], stores: Stores) -> ReplayRequest:
    """The replay that the params of a DAG run describe. Raises MisconfiguredError naming the param and why."""
    account_name = params.get("account") or None
    known = [account.name for account in stores.accounts]
    if account_name is not None and account_name not in known:
        what = f"is {account_name!r}, which the stores file does not have"
        raise refused_param("account", what, f"use one of {', '.join(known)}, or none for all")
    updated_from, updated_to = moment_param(params, "updated_from"), moment_param(params, "updated_to")
    if updated_from and updated_to and updated_to < updated_from:
        raise refused_param("updated_to", "is before updated_from", "exchange them")
    ids = texts_param(params, "amazon_order_ids")
    return ReplayRequest(account_name, updated_from, updated_to, tuple(ids) or None)


def run(engine: Engine, request: ReplayRequest, *, is_dry_run: bool, now: datetime, dag_run_id: str) -> dict[str, int]:
    """List in ops.replay_differences what differs, then write it to core unless `is_dry_run`. Returns counts.

    They are orders: read, that differ, written, and that the database refuses. Safe to repeat; it takes turns with
    staging. Raises MisconfiguredError when raw has none of the orders that were asked for by id.
    """
    keys = {"now": now, "dag_run_id": dag_run_id}
    counts = {"orders": 0, "different": 0, "written": 0, "refused": 0}
    columns: Counter[str] = Counter()
    lines = 0
    different: list[str] = []
    for order_ids in _batches(engine, request):
        counts["orders"] += len(order_ids)
        found, refused = _in_parts(engine, order_ids, keys, is_written=False)
        counts["refused"] += refused
        for row in found:
            columns[row.column_name] += 1
            if lines < _MOST_LINES:
                _log_difference(row)
            lines += 1
        different += sorted({row.amazon_order_id for row in found})
    counts["different"] = len(different)
    if request.amazon_order_ids and not counts["orders"]:
        raise refused_param("amazon_order_ids", "names no order of which raw has a version", "check the ids")
    if lines > _MOST_LINES:
        log.info("replay_amazon_orders: %d more differences; all are in ops.replay_differences", lines - _MOST_LINES)
    log.info("replay_amazon_orders: differences by column: %s", summary(dict(sorted(columns.items()))) or "none")
    if not is_dry_run:
        for start in range(0, len(different), _BATCH):
            part = different[start : start + _BATCH]
            written, _ = _in_parts(engine, part, keys, is_written=True)
            counts["written"] += len({row.amazon_order_id for row in written})
    prefix = "dry run, core was not changed: " if is_dry_run else ""
    log.info("replay_amazon_orders: %s%s", prefix, summary(counts))
    return counts


def _batches(engine: Engine, request: ReplayRequest) -> Iterator[list[str]]:
    values = vars(request) | {"order_ids": request.amazon_order_ids and list(request.amazon_order_ids)}
    values = values | {"batch_size": _BATCH, "after": ""}
    while True:
        with engine.connect() as connection:
            found = list(connection.execute(load_statements(__file__)["order_ids"], values).scalars())
        if not found:
            return
        yield found
        values["after"] = found[-1]


def _in_parts(
    engine: Engine, order_ids: Sequence[str], keys: dict[str, Any], *, is_written: bool
) -> tuple[list[Row[Any]], int]:
    """Compare these orders, and write them if asked to. Returns the differences, and how many orders are refused."""
    found: list[Row[Any]] = []

    def attempt(part: Sequence[str]) -> None:
        with engine.begin() as connection:
            wait_for_lock(connection, "stage_amazon_orders")
            found.extend(_replay(connection, part, keys, is_written=is_written))

    failures = isolate(list(order_ids), attempt)
    for order_id, error in failures:
        log.warning("replay_amazon_orders: order=%s cannot be rebuilt: %s", order_id, describe(error))
    return found, len(failures)


def _replay(
    connection: Connection, order_ids: Sequence[str], keys: dict[str, Any], *, is_written: bool
) -> Sequence[Row[Any]]:
    statements = load_statements(__file__)
    connection.execute(statements["claim_pages"], {"order_ids": list(order_ids)})
    collect_changes(connection, order_ids, is_replay=True)
    found = connection.execute(statements["differences"], keys).all()
    if not is_written:
        drop_collected(connection)
        return found
    different = sorted({row.amazon_order_id for row in found})
    connection.execute(statements["keep_equal_orders"], {"order_ids": different})
    write_changes(connection, statements["orders_to_check_again"], keys, is_replay=True)
    connection.execute(statements["mark_written"], keys | {"order_ids": different})
    return found


def _log_difference(row: Row[Any]) -> None:
    line = f" line={row.amazon_item_id}" if row.amazon_item_id else ""
    log.info(
        "replay_amazon_orders: order=%s%s %s: %s -> %s",
        row.amazon_order_id,
        line,
        row.column_name,
        row.before,
        row.after,
    )
