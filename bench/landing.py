"""How long landing and staging take, next to a bare COPY of the same documents into one table; one run, one machine."""

from __future__ import annotations

import copy
import resource
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import simplejson
from cryptography.fernet import Fernet
from sqlalchemy import text

from bench import Figure
from bench.history import empty_database
from include.adapters.amazon.client import OrdersPage
from include.adapters.personal_data import PersonalDataCipher
from include.adapters.stores_file import load_stores
from include.settings import Settings
from include.steps import extract_amazon_orders, stage_amazon_orders, stage_stores
from local.sandbox.scenario import build

PAGE = 100


class Listing:
    """Stands in for the client: pages made from the scenario's orders, each order with an id of its own."""

    def __init__(self, orders: int) -> None:
        self.orders = orders
        self._seeds = [seed.order for seed in build(datetime.now(UTC)).orders if seed.seller_id == "A1EXAMPLESELLER"]

    def server_time(self) -> datetime:
        return datetime.now(UTC)

    def documents(self, page: int) -> list[Any]:
        found = []
        for number in range(page * PAGE, min((page + 1) * PAGE, self.orders)):
            order = copy.deepcopy(self._seeds[number % len(self._seeds)])
            order["orderId"] = f"114-{number // 10_000_000:07d}-{number % 10_000_000:07d}"
            found.append(order)
        return found

    def search_orders(self, query: Any, pagination_token: str | None, *, keep: int = 0) -> OrdersPage:
        if keep:  # history: there is none
            return OrdersPage([], None, None, None, self.server_time())
        page = int(pagination_token or 0)
        last = (page + 1) * PAGE >= self.orders
        return OrdersPage(self.documents(page), None if last else str(page + 1), None, None, self.server_time())


def measure(orders: int) -> list[Figure]:
    """Land and stage a fiftieth of `orders`: ratios to COPY, and the peak memory of this process so far."""
    orders //= 50
    with empty_database(durable=True) as engine:
        listing = Listing(orders)
        stores = load_stores(Settings().stores_file)
        stage_stores.run(engine, stores, {}, now=datetime.now(UTC) - timedelta(days=1), dag_run_id="bench")

        making = time.perf_counter()
        for page in range((orders + PAGE - 1) // PAGE):
            listing.documents(page)
        making = time.perf_counter() - making

        begun = time.perf_counter()
        address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address) as connection:
            connection.execute("create table bare (document jsonb)")
            with connection.cursor().copy("copy bare (document) from stdin") as sink:
                for page in range((orders + PAGE - 1) // PAGE):
                    for document in listing.documents(page):
                        sink.write_row([simplejson.dumps(document, use_decimal=True)])
        bare = time.perf_counter() - begun - making

        cipher = PersonalDataCipher([Fernet.generate_key().decode()])
        client: Any = listing
        begun = time.perf_counter()
        extract_amazon_orders.run(engine, client, cipher, stores.account("acme-na"), Settings(), dag_run_id="bench")
        landing = time.perf_counter() - begun - making
        begun = time.perf_counter()
        stage_amazon_orders.run(engine, now=datetime.now(UTC), dag_run_id="bench")
        staging = time.perf_counter() - begun
        with engine.connect() as connection:
            staged = connection.execute(text("select count(*) from core.orders")).scalar_one()
    if staged != orders:
        raise SystemExit(f"{orders} orders went in, {staged} came out")
    times = {"landing": landing, "staging": staging, "landing and staging": landing + staging}
    figures = [Figure(f"{name}, {orders:,} orders", round(taken / bare, 2), "x COPY") for name, taken in times.items()]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*figures, Figure("peak memory after all measurements so far", round(memory), "MB")]
