"""When the units of created orders stop counting as taken: once Commerce has shipped or ended the order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from include.database.statements import load_statements


def release_ended_orders(
    connection: Connection, shop: str, commerce_order_ids: Sequence[str], *, now: datetime, dag_run_id: str
) -> int:
    """These orders of the shop have ended in Commerce: their units stop counting as taken. Returns how many did."""
    values = {"commerce_connection": shop, "commerce_order_ids": list(commerce_order_ids)}
    statement = load_statements(__file__)["release_ended_orders"]
    return connection.execute(statement, values | {"now": now, "dag_run_id": dag_run_id}).rowcount


def release_shipped_orders(
    connection: Connection, order_ids: Collection[str], *, now: datetime, dag_run_id: str
) -> None:
    """The units of those of these orders that are shipped whole in Commerce stop counting as taken."""
    values = {"order_ids": sorted(order_ids), "now": now, "dag_run_id": dag_run_id}
    connection.execute(load_statements(__file__)["release_shipped_orders"], values)
