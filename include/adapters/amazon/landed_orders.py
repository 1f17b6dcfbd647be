"""Reads landed order documents into temporary tables in our words: the only SQL that knows Amazon's fields."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from include.database.statements import load_statements


def landed_order_ids(connection: Connection) -> list[str]:
    """The orders that the pages in the temporary table `claimed_pages` hold, sorted."""
    return list(connection.execute(load_statements(__file__)["order_ids"]).scalars())


def collect_landed_orders(connection: Connection, order_ids: Sequence[str]) -> int:
    """Read these orders from the pages in the temporary table `claimed_pages`; returns the number of their versions.

    Leaves three temporary tables until the transaction ends: `versions` of orders, the `newest` version of each order,
    and `newest_items`, its lines.
    """
    statements = load_statements(__file__)
    count = connection.execute(statements["versions"], {"order_ids": list(order_ids)}).rowcount
    connection.execute(text("analyze versions"))
    connection.execute(statements["newest"])
    connection.execute(text("analyze newest"))
    connection.execute(statements["newest_items"])
    return count
