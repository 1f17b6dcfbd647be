"""What a shop's orders show that a person should know: kept as open warnings in `ops.blocker_episodes`.

They rest on what the shop shows now: a finding ends as soon as the shop does not show it any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from include.adapters.commerce.changes import SeenOrder
from include.adapters.commerce.documents import CommerceOrder
from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES
from include.domain.statuses import OPEN_STATUSES
from include.outbox.blocker_episodes import FOUND_IN_SHOP, Blocker, close_findings, open_episodes


def suspects(connection: Connection, shop: str, seen: Sequence[SeenOrder]) -> list[str]:
    """The Amazon orders of which these orders of the shop may be a second one."""
    values = {
        "commerce_connection": shop,
        "commerce_order_ids": [order.order_id for order in seen],
        "amazon_order_ids": [order.ext_order_id for order in seen],
    }
    return list(connection.execute(load_statements(__file__)["suspects"], values).scalars())


def orders_with_findings(connection: Connection, shop: str) -> list[str]:
    """The Amazon orders with a finding that the shop has to be asked about again."""
    values = {"commerce_connection": shop, "codes": list(FOUND_IN_SHOP)}
    return list(connection.execute(load_statements(__file__)["orders_with_findings"], values).scalars())


def record_findings(
    connection: Connection, found: Mapping[str, Sequence[CommerceOrder]], *, now: datetime, dag_run_id: str
) -> None:
    """Open and close the findings of these Amazon orders. `found`: all orders that their shop has for each of them."""
    rows = connection.execute(load_statements(__file__)["linked"], {"order_ids": sorted(found)}).all()
    findings = [finding for row in rows for finding in _findings(row, found[row.amazon_order_id])]
    open_episodes(connection, findings, now=now, dag_run_id=dag_run_id)
    still = {(finding.amazon_order_id, finding.blocker_code) for finding in findings}
    gone = {(row.amazon_order_id, code) for row in rows for code in FOUND_IN_SHOP} - still
    close_findings(connection, sorted(gone), now=now, dag_run_id=dag_run_id)


def _findings(linked: Row[Any], found: Sequence[CommerceOrder]) -> Iterator[Blocker]:
    facts = {"number": linked.commerce_order_number}
    others = [order.number for order in found if order.order_id != linked.commerce_order_id and not order.is_withdrawn]
    if others:
        yield _finding(linked, "duplicate_commerce_order", **facts, others=" and ".join(others))
    if linked.unmatched_skus and linked.amazon_status in OPEN_STATUSES:
        yield _finding(linked, "lines_not_matched", **facts, skus=", ".join(linked.unmatched_skus))


def _finding(linked: Row[Any], code_name: str, **facts: str) -> Blocker:
    code = BLOCKER_CODES[code_name]
    return Blocker(
        linked.amazon_order_id, code.code, code.sentence.format(**facts)[:300], remedy=code.remedy.format(**facts)[:300]
    )
