"""`ops.dry_run_results`: what a run would do, of which nothing is done. Only writer.

A dry run reads Amazon and the shops, and stores what Amazon lists, as every run does. It plans and sends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert

from include.database.statements import load_statements
from include.database.tables import dry_run_results
from include.outbox.order_change_outbox import plan_changes

log = logging.getLogger(__name__)

# What the creation prepares, to see whether it would come to that.
TO_PREPARE = "create"
_LONGEST_REASON = 500


@dataclass(frozen=True)
class DryRunResult:
    """What would be done with one order. `amount` is Amazon's grand total; None where Amazon gives none."""

    amazon_order_id: str
    action: str  # one of DRY_RUN_ACTIONS
    account_name: str
    store_name: str | None
    reason: str
    blocker_codes: list[str] = field(default_factory=list)
    amount: Decimal | None = None
    currency_code: str | None = None


def rehearse(engine: Engine, results: Sequence[DryRunResult], *, now: datetime, dag_run_id: str) -> list[str]:
    """Write what validation would do, and what is open besides. Returns the accounts with orders to prepare."""
    with engine.connect() as connection:
        plan_changes(connection, now=now, dag_run_id=dag_run_id)
        open_work = connection.execute(load_statements(__file__)["open_work"], {"now": now}).all()
        connection.rollback()  # the plans are wanted for their sake only
    known = {result.amazon_order_id for result in results}
    found = [*results, *(DryRunResult(**row._mapping) for row in open_work if row.amazon_order_id not in known)]
    with engine.begin() as connection:
        _write(connection, found, now=now, dag_run_id=dag_run_id)
    for result in found:
        _log(result)
    return sorted({result.account_name for result in found if result.action == TO_PREPARE})


def results_to_prepare(connection: Connection, account_name: str, dag_run_id: str) -> list[DryRunResult]:
    """The account's orders that validation of this dry run would create."""
    query = select(*(dry_run_results.c[name] for name in DryRunResult.__dataclass_fields__)).where(
        dry_run_results.c.dag_run_id == dag_run_id,
        dry_run_results.c.account_name == account_name,
        dry_run_results.c.action == TO_PREPARE,
    )
    rows = connection.execute(query.order_by(dry_run_results.c.amazon_order_id))
    return [DryRunResult(**row._mapping) for row in rows]


def change_result(engine: Engine, result: DryRunResult, action: str, reason: str, *, dag_run_id: str) -> None:
    """Something else than its creation would happen to the order."""
    with engine.begin() as connection:
        connection.execute(
            update(dry_run_results)
            .where(
                dry_run_results.c.dag_run_id == dag_run_id,
                dry_run_results.c.amazon_order_id == result.amazon_order_id,
                dry_run_results.c.action == result.action,
            )
            .values(action=action, reason=reason[:_LONGEST_REASON])
        )
    _log(replace(result, action=action, reason=reason))


def _write(connection: Connection, results: Sequence[DryRunResult], *, now: datetime, dag_run_id: str) -> None:
    if results:
        rows = [
            vars(result) | {"reason": result.reason[:_LONGEST_REASON], "dag_run_id": dag_run_id, "found_at": now}
            for result in results
        ]
        # A task that is tried again finds the rows of its first try.
        statement = insert(dry_run_results)
        changed = {name: statement.excluded[name] for name in ("reason", "blocker_codes", "amount", "found_at")}
        keys = ["dag_run_id", "amazon_order_id", "action"]
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _log(result: DryRunResult) -> None:
    amount = f" ({result.amount.normalize():f} {result.currency_code})" if result.amount is not None else ""
    log.info("dry run: order=%s would %s%s: %s", result.amazon_order_id, result.action, amount, result.reason)
