"""Our own time per created Commerce order: everything in create_commerce_orders but the calls to the shop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bench import Figure
from bench.history import empty_database
from include.database.engine import make_engine
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.orders import order_id
from tests.support.road import Road

ORDERS = 200


def measure(orders: int) -> list[Figure]:
    """Create 200 orders in the sandbox's shop; `orders` does not matter. One figure, in ms per order."""
    with empty_road() as road:
        clock = CallClock()
        road.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(ORDERS)})
        for number in range(1, ORDERS + 1):
            road.buy(order_id(number), {"TRAY-WALNUT": 1})
        road.pass_time(minutes=10)
        road.orders_run(create=lambda account_name: None)
        road.change_settings(create_connections=1)  # else calls and our own work overlap
        shop = road.shop
        road.shop = clock.watch(shop)
        started = time.perf_counter()
        counts = road.create_commerce_orders()
        total = time.perf_counter() - started
        shop.close()
    if counts["created"] != ORDERS:
        raise SystemExit(f"{ORDERS} orders were to be created: {counts}")
    own = (total - clock.seconds) / ORDERS * 1000
    return [Figure("create_commerce_orders, own time per order (calls excluded)", round(own, 1), "ms", 25)]


@contextmanager
def empty_road() -> Iterator[Road]:
    """The data path over the sandbox's shop and sellers, without orders, on a database of its own."""
    empty = build(datetime.now(UTC)).without_orders()
    with empty_database() as admin, Sandbox(empty, enforce_rate_limits=False) as sandbox:
        engine = make_engine(admin.url.set(username="orders_rw"), application_name="bench", is_pooled=True)
        with Road(engine, sandbox, empty) as road:
            road.with_account("acme-na")
            yield road
        engine.dispose()


@dataclass
class CallClock:
    """Adds up the seconds that a client's methods take."""

    seconds: float = field(default=0.0)

    def watch(self, client: Any) -> Any:
        """The same client, with each call of a method timed."""
        clock = self

        class Watched:
            def __getattr__(self, name: str) -> Any:
                method = getattr(client, name)
                if not callable(method):
                    return method

                def call(*arguments: Any, **options: Any) -> Any:
                    started = time.perf_counter()
                    try:
                        return method(*arguments, **options)
                    finally:
                        clock.seconds += time.perf_counter() - started

                return call

        return Watched()
