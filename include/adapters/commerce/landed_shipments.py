"""Reads landed shipment documents into temporary tables in our words: the only SQL that knows Commerce's fields."""

from __future__ import annotations

from sqlalchemy import Connection

from include.database.statements import load_statements


def collect_landed_shipments(connection: Connection) -> int:
    """Read the newest version of every shipment that is not staged yet; returns their number.

    Leaves three temporary tables until the transaction ends: `newest` shipments, `newest_items`, and `newest_tracks`
    that have a tracking number.
    """
    statements = load_statements(__file__)
    count = connection.execute(statements["newest"]).rowcount
    connection.execute(statements["newest_items"])
    connection.execute(statements["newest_tracks"])
    return count
