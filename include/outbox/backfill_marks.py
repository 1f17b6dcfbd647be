"""Which orders a backfill has brought, and whether Commerce may have them. Only writer of ops.backfilled_orders.

A mark says what a store's `import_since` cannot: a person wanted these old orders in Commerce (`create_in_commerce`),
or looked at orders that the listing has not brought yet, which alone must create nothing. The result does not depend
on who reads an order first: what the listing brings, too, follows the settings of its store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from include.database.statements import load_statements
from include.outbox.pipeline_state import move_selected


def mark_orders(
    connection: Connection,
    listed: Sequence[str],
    now: datetime,
    *,
    backfill_id: int,
    account_name: str,
    create_in_commerce: bool,
    dag_run_id: str,
) -> None:
    """A backfill brings these orders: mark them in the transaction that lands them, before they land.

    Without `create_in_commerce` only orders that are new to us are marked: the others go on as before.
    """
    values = {"backfill_id": backfill_id, "account_name": account_name, "create_in_commerce": create_in_commerce}
    statement = load_statements(__file__)["mark_orders"]
    connection.execute(statement, values | {"order_ids": list(listed), "now": now, "dag_run_id": dag_run_id})


def lift_marks(connection: Connection, listed: Sequence[str], now: datetime, *, dag_run_id: str) -> None:
    """The account's own listing brings these orders: from now on they are like all others."""
    values = {"order_ids": list(listed), "now": now, "dag_run_id": dag_run_id}
    connection.execute(load_statements(__file__)["lift_marks"], values)


def settle_marks(connection: Connection, *, now: datetime, dag_run_id: str) -> None:
    """Have the orders checked again whose mark has changed; by validation, under its lock, before it reads them."""
    statements = load_statements(__file__)
    move_selected(connection, statements["orders_to_check_again"], {}, now=now, dag_run_id=dag_run_id)
    for name in ("drop_lifted", "settle_wanted"):
        connection.execute(statements[name])
