"""Opens and closes `ops.blocker_episodes`: when a blocker of an order began, when it ended, and how. Only writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES

# What Commerce, not a check of ours, has found; the creation of the order ends it.
FOUND_BY_CREATION = ("rejected_by_commerce", "needs_attention")
# What the shop shows after the creation; `close_findings` ends it.
FOUND_IN_SHOP = ("duplicate_commerce_order", "ended_in_commerce", "lines_not_matched")
# What blocks nothing: an order keeps it when it is created; `close_findings` ends it.
WARNINGS = tuple(code for code, blocker in BLOCKER_CODES.items() if blocker.severity == "warning")


@dataclass(frozen=True)
class Blocker:
    """One blocker that was found: `blocker_code` is a key of BLOCKER_CODES, `message` a sentence for people.

    `amazon_item_id` is empty when the whole order is meant. No personal data.
    """

    amazon_order_id: str
    blocker_code: str
    message: str
    amazon_item_id: str = ""
    remedy: str | None = None  # None: the remedy of its code
    seller_sku: str | None = None
    catalog_sku: str | None = None
    requested_qty: int | None = None
    available_qty: Decimal | None = None

    @property
    def is_critical(self) -> bool:
        """Whether it prevents the creation of its order."""
        return BLOCKER_CODES[self.blocker_code].severity == "critical"


def open_episodes(connection: Connection, blockers: Sequence[Blocker], *, now: datetime, dag_run_id: str) -> None:
    """Open an episode for each blocker, or note that an open one was found again. `now` is aware, UTC."""
    rows = [
        {
            **vars(blocker),
            "severity": BLOCKER_CODES[blocker.blocker_code].severity,
            "remedy": blocker.remedy or BLOCKER_CODES[blocker.blocker_code].remedy,
            "now": now,
            "dag_run_id": dag_run_id,
        }
        for blocker in blockers
    ]
    if rows:
        connection.execute(load_statements(__file__)["open"], rows)


def close_episodes(
    connection: Connection,
    closed_by: Mapping[str, str],
    *,
    now: datetime,
    dag_run_id: str,
    is_creation_over: bool = False,
) -> None:
    """Close the episodes of these orders that were not found again at `now`.

    `closed_by` maps an Amazon order id to how they end: solved, canceled or settings_changed. `solved` leaves open what
    only warns and, unless `is_creation_over`, what the creation has found.
    """
    if closed_by:
        kept = [*WARNINGS, *(() if is_creation_over else FOUND_BY_CREATION)]
        values = {"order_ids": list(closed_by), "closed_by_codes": list(closed_by.values()), "kept": kept}
        connection.execute(load_statements(__file__)["close"], values | {"now": now, "dag_run_id": dag_run_id})


def close_findings(
    connection: Connection, findings: Sequence[tuple[str, str]], *, now: datetime, dag_run_id: str
) -> None:
    """Close these findings, by Amazon order id and code, where they are open."""
    if findings:
        order_ids, codes = (list(column) for column in zip(*findings, strict=True))
        values = {"order_ids": order_ids, "codes": codes, "now": now, "dag_run_id": dag_run_id}
        connection.execute(load_statements(__file__)["close_findings"], values)
