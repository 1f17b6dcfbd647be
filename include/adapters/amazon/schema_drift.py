"""What Amazon's orders have and our contract does not: counted by path and kind. Only writer of ops.schema_drift."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from include.database.statements import load_statements

log = logging.getLogger(__name__)

_IN_WORDS = {"field": "a field that our contract does not know", "value": "a new code", "breach": "a breach"}


def count_drift(
    connection: Connection,
    orders: Iterable[tuple[str | None, Sequence[str]]],
    *,
    now: datetime,
    dag_run_id: str,
) -> None:
    """Count the findings of new documents, in the transaction that lands them. `orders`: (order id, findings)."""
    rows = [(order_id, *_parts(finding)) for order_id, findings in orders for finding in findings]
    if not rows:
        return
    ids, paths, kinds, codes = (list(column) for column in zip(*rows, strict=True))
    values = {"order_ids": ids, "paths": paths, "kinds": kinds, "codes": codes, "now": now, "dag_run_id": dag_run_id}
    for row in connection.execute(load_statements(__file__)["count_drift"], values):
        if row.is_new:
            log.warning(
                "Amazon sends %s: %s%s, first in order %s. Resolution: none needed, %s; see ops.schema_drift.",
                _IN_WORDS[row.kind],
                row.path,
                f" ({row.code})" if row.code else "",
                row.example_order_id or "without a readable id",
                "the order is quarantined" if row.kind == "breach" else "the orders go on",
            )


def _parts(finding: str) -> tuple[str, str, str]:
    """Path, kind and code of a finding: `path`, `path=CODE` or `path: rule`."""
    if ": " in finding:
        path, _, rule = finding.partition(": ")
        path = re.sub(r"\[\d+\]", "[]", path)  # whichever line it was
        # The rule that names another account is a sentence, not a rule of the contract.
        return path, "breach", rule if rule.isalpha() else "other"
    path, _, code = finding.partition("=")
    return path, "value" if code else "field", code
