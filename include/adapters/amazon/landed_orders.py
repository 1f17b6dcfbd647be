"""Reads landed order documents into temporary tables in our words: the only SQL that knows Amazon's fields."""

from __future__ import annotations

from sqlalchemy import Connection, text

from include.database.statements import load_statements


def collect_landed_orders(connection: Connection) -> int:
    """Read the pages that the temporary table `claimed_pages` lists; returns the number of versions on them.

    Leaves three temporary tables until the transaction ends: `versions` of orders, the `newest` version of each order,
    and `newest_items`, its lines.
    """
    statements = load_statements(__file__)
    count = connection.execute(statements["versions"]).rowcount
    connection.execute(text("analyze versions"))
    connection.execute(statements["newest"])
    connection.execute(text("analyze newest"))
    connection.execute(statements["newest_items"])
    return count
