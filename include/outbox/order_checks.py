"""`ops.order_checks`: the facts on which each blocked order was last checked, and what was found. Only writer.

An order whose facts have not changed keeps its findings, so that Great Expectations, whose import takes seconds, is
needed only when something changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, any_, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from include.database.tables import order_checks

Findings = frozenset[tuple[str, str]]
"""Amazon's item id and blocker code of each finding of one order."""


@dataclass(frozen=True)
class KnownCheck:
    """One group of rules, last checked on facts with this hash."""

    facts_sha256: str
    findings: Findings


def facts_sha256(suite_sha256: str, facts: Iterable[object]) -> str:
    """SHA-256 (hex) of the rules and of the facts that they are checked on."""
    return hashlib.sha256("\n".join([suite_sha256, *sorted(map(repr, facts))]).encode()).hexdigest()


def known_checks(connection: Connection, order_ids: Collection[str]) -> dict[tuple[str, str], KnownCheck]:
    """What is known of these orders, by Amazon order id and group of rules."""
    wanted = order_checks.c.amazon_order_id == any_(literal(list(order_ids), ARRAY(Text())))
    return {
        (row.amazon_order_id, row.rule_group): KnownCheck(
            row.facts_sha256, frozenset((item_id, code) for item_id, code in row.findings)
        )
        for row in connection.execute(select(order_checks).where(wanted))
    }


def keep_checks(
    connection: Connection,
    checks: Mapping[tuple[str, str], KnownCheck],
    *,
    forget: Sequence[str],
    now: datetime,
    dag_run_id: str,
) -> None:
    """Keep these checks, and forget those of the orders in `forget`, which are not blocked any more."""
    rows = [
        {
            "amazon_order_id": order_id,
            "rule_group": group,
            "facts_sha256": check.facts_sha256,
            "findings": sorted(map(list, check.findings)),
            "checked_at": now,
            "dag_run_id": dag_run_id,
        }
        for (order_id, group), check in sorted(checks.items())
    ]
    gone = order_checks.c.amazon_order_id == any_(literal(list(forget), ARRAY(Text())))
    connection.execute(delete(order_checks).where(gone))
    if rows:
        statement = insert(order_checks)
        changed = {name: statement.excluded[name] for name in ("facts_sha256", "findings", "checked_at", "dag_run_id")}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["amazon_order_id", "rule_group"],
                set_=changed,
                where=order_checks.c.facts_sha256 != statement.excluded.facts_sha256,
            ),
            rows,
        )
