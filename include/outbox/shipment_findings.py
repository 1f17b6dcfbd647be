"""What the shipments of an order show that a person should know: open warnings in `ops.blocker_episodes`.

Each is looked at again while it is open, and ends when it is not true any more or Amazon expects nothing of the order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES
from include.domain.packages import SHIP_PLUS
from include.domain.statuses import OPEN_STATUSES, SHIPPED
from include.outbox.blocker_episodes import Blocker, close_findings, open_episodes

_UNTRACKED, _TWICE, _DELETED = "shipment_without_tracking", "shipped_twice", "shipment_deleted"


def find_untracked_shipments(
    connection: Connection, order_ids: Collection[str], store_names: Collection[str], *, now: datetime, dag_run_id: str
) -> None:
    """Warn of those of these orders of the stores with a shipment that has no tracking number."""
    values = {
        "order_ids": sorted(order_ids),
        "store_names": sorted(store_names),
        "open_statuses": sorted(OPEN_STATUSES),
        "ship_plus": SHIP_PLUS,
        "code": _UNTRACKED,
    }
    _keep(connection, "untracked_shipments", values, _UNTRACKED, now=now, dag_run_id=dag_run_id)


def find_shipped_twice(connection: Connection, order_ids: Collection[str], *, now: datetime, dag_run_id: str) -> None:
    """Warn of those of these orders of which Commerce has shipped more units than were ordered.

    A shipment that was deleted explains it: then there is a warning of that.
    """
    values = {"order_ids": sorted(order_ids), "deleted": _DELETED, "code": _TWICE}
    _keep(connection, "shipped_twice", values, _TWICE, now=now, dag_run_id=dag_run_id)


def shipments_of_orders(connection: Connection, shop: str, commerce_order_ids: Sequence[str]) -> list[str]:
    """The Commerce shipments that these orders of the shop are known to have."""
    values = {"commerce_connection": shop, "commerce_order_ids": list(commerce_order_ids)}
    return list(connection.execute(load_statements(__file__)["shipments_of_orders"], values).scalars())


def record_deleted_shipments(
    connection: Connection,
    shop: str,
    order_ids: Sequence[str],
    shipment_ids: Sequence[str],
    *,
    now: datetime,
    dag_run_id: str,
) -> None:
    """Warn of these Amazon orders' shipments that the shop does not have any more; the others' warnings end.

    A package that was never sent is skipped: it is not to be confirmed any more.
    """
    values: dict[str, Any] = {"commerce_connection": shop, "commerce_shipment_ids": list(shipment_ids)}
    statements = load_statements(__file__)
    if shipment_ids:
        connection.execute(statements["skip_packages"], values | {"now": now, "dag_run_id": dag_run_id})
    values |= {"order_ids": list(order_ids), "watched_statuses": sorted({*OPEN_STATUSES, SHIPPED}), "code": _DELETED}
    _keep(connection, "deleted_shipments", values, _DELETED, now=now, dag_run_id=dag_run_id)


def _keep(
    connection: Connection, statement: str, values: dict[str, Any], code: str, *, now: datetime, dag_run_id: str
) -> None:
    """Open the finding of each order for which the statement has facts; end that of the others."""
    found, over = [], []
    for row in connection.execute(load_statements(__file__)[statement], values):
        if row.facts:
            message = BLOCKER_CODES[code].sentence.format(facts=", ".join(row.facts))
            found.append(Blocker(row.amazon_order_id, code, message[:300]))
        else:
            over.append((row.amazon_order_id, code))
    open_episodes(connection, found, now=now, dag_run_id=dag_run_id)
    close_findings(connection, over, now=now, dag_run_id=dag_run_id)
