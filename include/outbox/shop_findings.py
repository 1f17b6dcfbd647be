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
    """The Amazon orders of which these orders of the shop may be a second one, or lack what Amazon still expects."""
    values = {
        "commerce_connection": shop,
        "commerce_order_ids": [order.order_id for order in seen],
        "amazon_order_ids": [order.ext_order_id for order in seen],
        "are_taken_back": [order.is_taken_back for order in seen],
        "open_statuses": sorted(OPEN_STATUSES),
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
    number = linked.commerce_order_number
    order = next((one for one in found if one.order_id == linked.commerce_order_id), None)
    others = " and ".join(one.number for one in found if one is not order and not one.is_withdrawn)
    is_open = linked.amazon_status in OPEN_STATUSES
    taken_back = _taken_back(linked, order) if is_open else None
    if taken_back is not None:
        remedy = f"{others} is for it too, but not linked: confirm its shipments in Seller Central." if others else None
        yield _finding(linked, "ended_in_commerce", remedy, **taken_back)
    elif others:
        remedy = (
            f"Cancel {others} in Commerce, or refund it if it is invoiced; only shipments of {number} reach Amazon."
        )
        yield _finding(linked, "duplicate_commerce_order", remedy, number=number, others=others)
    if linked.unmatched_skus and is_open:
        yield _finding(linked, "lines_not_matched", None, number=number, skus=", ".join(linked.unmatched_skus))


def _taken_back(linked: Row[Any], order: CommerceOrder | None) -> dict[str, str] | None:
    """What was taken back in Commerce, and what Amazon still expects of it; None when nothing is amiss."""
    name = f"Commerce order {linked.commerce_order_number}"
    if order is None:
        return {"what": f"{name} was deleted", "expected": "its shipment"}
    if order.is_withdrawn:
        if sum(line.shipped for line in order.lines.values()) >= linked.expected_qty:
            return None
        how = "canceled" if order.state == "canceled" else "refunded"
        return {"what": f"{name} was {how}", "expected": "its shipment"}
    lines = [line for item_id, line in order.lines.items() if item_id in (linked.matched_item_ids or ())]
    missing = linked.matched_qty - sum(line.shipped + line.left_to_ship for line in lines)
    if missing <= 0 or not any(line.ended for line in lines):
        return None
    units = f"1 unit of {name} was" if missing == 1 else f"{missing} units of {name} were"
    return {"what": f"{units} canceled or refunded", "expected": "it" if missing == 1 else "them"}


def _finding(linked: Row[Any], code_name: str, remedy: str | None, **facts: str) -> Blocker:
    message = BLOCKER_CODES[code_name].sentence.format(**facts)
    return Blocker(linked.amazon_order_id, code_name, message[:300], remedy=remedy)
