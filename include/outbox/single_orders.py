"""Orders that are read one by one (getOrder): each lands as a window of one page, so that staging finds it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from include.adapters.amazon.client import OrdersPage
from include.adapters.amazon.landing import LandedPage
from include.adapters.amazon.split import versions_sha256
from include.database.statements import load_statements
from include.outbox.page_reader import PageReader


def add_single_order(
    pages: PageReader, page: OrdersPage, settle: Callable[[Connection, LandedPage], None]
) -> LandedPage:
    """Land an order of getOrder in a transaction, together with what `settle` has to note about it."""
    statements = load_statements(__file__)
    keys = {"account_name": pages.account_name, "dag_run_id": pages.dag_run_id}
    values = {"page_sha256": versions_sha256(page.orders), "request_id": page.request_id, "now": page.fetched_at}
    with pages.engine.begin() as connection:
        window_id = connection.execute(statements["insert_window"], keys | values).scalar_one()
        connection.execute(statements["insert_page"], values | {"ingest_window_id": window_id})
        landed = pages.land(connection, page, window_id, 1)
        settle(connection, landed)
    pages.count(page, landed)
    return landed
