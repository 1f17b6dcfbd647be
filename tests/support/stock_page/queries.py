"""What the page reads."""

from __future__ import annotations

from sqlalchemy import Connection, literal, select


def read_line(connection: Connection, sku: str, store: str) -> str:
    """The line of one SKU, as the database writes it."""
    return connection.scalars(select(literal(sku) + " in " + literal(store))).one()
