"""How long the Recent Orders page takes: every kind of filter, on the first, a deep and the last page.

Measured are the page's queries, and whole requests, which include the connection to the database, the buyers' names and
the HTML. The tables hold five times as many orders as asked for elsewhere: people keep them for years.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from cryptography.fernet import Fernet
from sqlalchemy import Engine, func, select

from bench import Figure
from bench.history import empty_database
from include.database.engine import make_engine
from include.database.tables import recent_orders
from include.pages.recent_orders.queries import Cursor, Filters, read_overview, read_page
from include.pages.shell.app import create_app
from include.pages.shell.page import PageSource
from include.settings import Settings
from tests.support.recent_orders_rows import MANY_STATUSES, MANY_STORES, write_many_orders

ROUNDS = 40
STORES = ("", MANY_STORES[0], MANY_STORES[-1])
STATUSES = ("", *MANY_STATUSES, "no such word")


@dataclass(frozen=True)
class Case:
    """One filter and one place in its table."""

    filters: Filters
    place: str
    cursor: Cursor | None

    @property
    def parameters(self) -> dict[str, str]:
        """The page's query parameters."""
        given = {"store": self.filters.store, "status": self.filters.status, "before": str(self.cursor or "")}
        return {name: value for name, value in given.items() if value}


def measure(orders: int) -> list[Figure]:
    """The worst 95th percentile of any filter and page with 5 times `orders` orders. Two figures, in ms."""
    orders *= 5
    with empty_database(durable=True) as admin:
        key = Fernet.generate_key().decode()
        write_many_orders(admin, key, orders)
        cases = [case for store in STORES for status in STATUSES for case in _cases(admin, Filters(store, status))]
        settings = Settings()
        engine = make_engine(
            admin.url.set(username="orders_ui"),
            application_name="bench",
            statement_timeout=settings.statement_timeout,
            is_pooled=True,
        )
        source = PageSource(engine, settings.recent_orders_page_size, [key])
        queries = _measure_queries(engine, cases, source.page_size)
        requests = asyncio.run(_measure_requests(source, cases))
    return [
        Figure(
            f"Recent Orders, {orders:,} orders, slowest filter and page, p95 of {what}",
            round(max(_p95(seconds) for seconds in taken), 1),
            "ms",
            50,
        )
        for what, taken in (("its queries", queries), ("the whole request", requests))
    ]


def _cases(engine: Engine, filters: Filters) -> list[Case]:
    orders = recent_orders.c
    matching = select(orders.purchased_at, orders.amazon_order_id)
    if filters.store:
        matching = matching.where(orders.store_name == filters.store)
    if filters.status:
        matching = matching.where(orders.status == filters.status)
    found = [Case(filters, "first", None)]
    with engine.connect() as connection:
        total = connection.scalars(select(func.count()).select_from(matching.subquery())).one()
        for place, offset in (("deep", total // 2), ("last", total - 5)):
            newest_first = matching.order_by(orders.purchased_at.desc(), orders.amazon_order_id.desc())
            row = connection.execute(newest_first.offset(max(offset, 0)).limit(1)).first()
            if row is not None:
                found.append(Case(filters, place, Cursor(*row)))
    return found


def _measure_queries(engine: Engine, cases: list[Case], page_size: int) -> list[list[float]]:
    with engine.connect() as connection:

        def ask(case: Case) -> None:
            read_overview(connection)
            read_page(connection, case.filters, page_size, before=case.cursor)

        return [_milliseconds(lambda case=case: ask(case)) for case in cases]  # type: ignore[misc]


def _milliseconds(work: Callable[[], object]) -> list[float]:
    work()
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def _measure_requests(source: PageSource, cases: list[Case]) -> list[list[float]]:
    app = create_app(require_access=lambda: None, open_source=lambda: source, sign_in_url="/")
    found = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        for case in cases:
            taken = []
            for _ in range(ROUNDS + 1):
                begun = time.perf_counter()
                answer = await client.get("/", params=case.parameters)
                taken.append((time.perf_counter() - begun) * 1000)
                answer.raise_for_status()
            found.append(taken[1:])
    return found


def _p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20)[-1]
