"""What every part of the creation of one Commerce order shares, and how it writes down where the order is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, TextClause

from include.adapters.commerce.client import CommerceClient
from include.database.statements import load_statements
from include.domain.contacts import Contact
from include.domain.orders import Order
from include.domain.stores import Store
from include.outbox.pipeline_state import move_orders
from include.settings import Settings


def _statements() -> dict[str, TextClause]:
    return load_statements(str(Path(__file__).parents[1] / "steps" / "create_commerce_orders.py"))


@dataclass(frozen=True)
class OrderWork:
    """One order, its lock and all that its creation needs. Its statements: create_commerce_orders.sql."""

    engine: Engine
    lock_connection: Connection  # in autocommit; holds the order's lock
    client: CommerceClient
    store: Store
    order: Order
    contact: Contact
    settings: Settings
    clock: Callable[[], datetime]
    dag_run_id: str

    def execute(self, connection: Connection, name: str, **values: Any) -> Any:
        keys = {"amazon_order_id": self.order.amazon_order_id, "dag_run_id": self.dag_run_id, "now": self.clock()}
        return connection.execute(_statements()[name], keys | values)

    def write(self, name: str, state: str | None = None, reason: str = "", **values: Any) -> None:
        """Run one statement and, in the same transaction, move the order to `state` if one is given."""
        with self.engine.begin() as connection:
            self.execute(connection, name, **values)
            if state is not None:
                self.move(connection, state, reason)

    def move(self, connection: Connection, state: str, reason: str) -> None:
        moves = [(self.order.amazon_order_id, state, reason[:500])]
        move_orders(connection, moves, now=self.clock(), dag_run_id=self.dag_run_id)

    def row(self) -> Row[Any]:
        row: Row[Any] = self.execute(self.lock_connection, "outbox_row").one()
        return row
