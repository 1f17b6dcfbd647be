"""What `core.order_items` keeps of the lines of Commerce orders, and orders of which a part of a pack was shipped.

One unit on Amazon can be a *pack*: several units in Commerce. How many is committed before the order is sent, so that
shipments and cancellations are counted by it, whatever the SKU map says by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, update

from include.database.statements import load_statements
from include.database.tables import order_items
from include.domain.blockers import BLOCKER_CODES
from include.domain.order_changes import LineUnits
from include.domain.orders import Order
from include.domain.statuses import OPEN_STATUSES
from include.domain.stores import Store
from include.outbox.blocker_episodes import Blocker, close_findings, open_episodes

_SPLIT_PACK = "split_pack"


def keep_packs(session: Connection, order: Order, store: Store | None) -> Order:
    """Commit how many units each line's pack has, as the SKU map has it now. `session` is in autocommit."""
    lines = []
    for line in order.lines:
        units = line.pack(store).units
        if units != line.pack_units:
            where = _is_line(order.amazon_order_id, line.amazon_item_id)
            session.execute(update(order_items).where(where).values(pack_units=units))
        lines.append(replace(line, pack_units=units))
    return replace(order, lines=tuple(lines))


def link_lines(connection: Connection, order_id: str, lines: Mapping[str, LineUnits]) -> None:
    """Keep which line of the Commerce order is which line on Amazon, by Amazon's item ids, and what it has left."""
    pack_units = order_items.c.pack_units
    for amazon_item_id, line in lines.items():
        left = (line.ordered - line.ended + pack_units - 1) // pack_units
        statement = update(order_items).where(_is_line(order_id, amazon_item_id))
        connection.execute(statement.values(commerce_item_id=line.commerce_item_id, commerce_qty=left))


def find_split_packs(connection: Connection, order_ids: Collection[str], *, now: datetime, dag_run_id: str) -> None:
    """Warn of those of these orders of which Commerce has shipped a part of a pack; end the warnings that are over."""
    values = {"order_ids": sorted(order_ids), "code": _SPLIT_PACK, "open_statuses": sorted(OPEN_STATUSES)}
    found, over = [], []
    for row in connection.execute(load_statements(__file__)["split_packs"], values):
        if row.packs:
            message = BLOCKER_CODES[_SPLIT_PACK].sentence.format(packs=", ".join(row.packs))
            found.append(Blocker(row.amazon_order_id, _SPLIT_PACK, message[:300]))
        else:
            over.append((row.amazon_order_id, _SPLIT_PACK))
    open_episodes(connection, found, now=now, dag_run_id=dag_run_id)
    close_findings(connection, over, now=now, dag_run_id=dag_run_id)


def _is_line(order_id: str, amazon_item_id: str) -> ColumnElement[bool]:
    return (order_items.c.amazon_order_id == order_id) & (order_items.c.amazon_item_id == amazon_item_id)
