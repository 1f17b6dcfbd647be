"""Reads landed shipment documents into temporary tables in our words: the only SQL that knows Commerce's fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from include.database.statements import load_statements


def landed_shipment_orders(connection: Connection) -> list[str]:
    """The Amazon order ids of which a shipment is not staged yet."""
    return list(connection.execute(load_statements(__file__)["landed_orders"]).scalars())


@contextmanager
def landed_shipments(connection: Connection, order_ids: Sequence[str]) -> Iterator[int]:
    """The newest version of every shipment of these orders that is not staged yet; gives their number.

    There are three temporary tables within the block: `newest` shipments, `newest_items`, and `newest_tracks` that
    have a tracking number. If it fails, the caller's savepoint drops them.
    """
    statements = load_statements(__file__)
    count = connection.execute(statements["newest"], {"order_ids": list(order_ids)}).rowcount
    connection.execute(statements["newest_items"])
    connection.execute(statements["newest_tracks"])
    yield count
    connection.execute(statements["drop_collected"])
