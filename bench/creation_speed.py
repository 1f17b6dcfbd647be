"""Calls to the shop per created and invoiced order, and how fast orders are created in a slow shop.

The slow shop is a process of its own, as a shop is: in ours, it would compete with us for Python's one lock.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing.connection import Connection

import simplejson

from bench import Figure
from bench.creation import empty_road
from local.sandbox.faults import Fault
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.orders import order_id
from tests.support.road import Road

COUNTED, SLOWLY = 100, 400
SECONDS_PER_CALL = 0.2
CONNECTIONS = 4
_FULFILLED = {"FBM": {}, "FBA": {"status": "SHIPPED", "fulfilled_by": "AMAZON"}}


def measure(orders: int) -> list[Figure]:
    """Create some hundred orders; `orders` does not matter. Calls per order, orders per minute, and their reach."""
    figures = []
    with empty_road() as road:
        for first, (name, options) in enumerate(_FULFILLED.items()):
            _plan(road, range(first * COUNTED, first * COUNTED + COUNTED), **options)
            before = road.sandbox.commerce_faults.calls.total()
            _create(road, COUNTED)
            calls = (road.sandbox.commerce_faults.calls.total() - before) / COUNTED
            figures.append(
                Figure(f"Commerce calls per created and invoiced order, {name}", round(calls, 2), "calls", 2.1)
            )
        return figures + _with_a_slow_shop(road)


def _with_a_slow_shop(road: Road) -> list[Figure]:
    road.change_settings(create_connections=CONNECTIONS, create_limit=SLOWLY)
    _plan(road, range(10_000, 10_000 + SLOWLY))
    road.shop.close()
    with _slow_shop(road) as url:
        road.shop = road.connect_shop(url)
        alone = _seconds_per_call(road)
        calls_before = road.value("select count(*) from ops.api_calls")
        started = time.perf_counter()
        _create(road, SLOWLY)
        seconds = time.perf_counter() - started
        calls = road.value("select count(*) from ops.api_calls") - calls_before
        road.shop.close()
    least = calls * alone / CONNECTIONS
    shop = f"{SECONDS_PER_CALL * 1000:.0f} ms per call, {CONNECTIONS} connections"
    return [
        Figure(f"create_commerce_orders, {shop}: orders per minute", round(SLOWLY / seconds * 60), "orders"),
        # 90 % of what the connections can carry.
        Figure(
            f"create_commerce_orders, {shop}: time beside the least possible", round(seconds / least, 3), "x", 1.111
        ),
    ]


def _plan(road: Road, numbers: range, **options: str) -> None:
    road.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(10_000)})
    for number in numbers:
        road.buy(order_id(number + 1), {"TRAY-WALNUT": 1}, **options)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)


def _create(road: Road, count: int) -> None:
    counts = road.create_commerce_orders()
    if (counts.get("created"), counts.get("finished")) != (count, count):
        raise SystemExit(f"{count} orders were to be created and finished: {counts}")


def _seconds_per_call(road: Road) -> float:
    """How long a call takes when nothing else is under way: the fastest of ten."""
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        road.shop.probe()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


@contextmanager
def _slow_shop(road: Road) -> Iterator[str]:
    """The shop of `road` as it is now, each answer late, in a process of its own. Its address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    state = simplejson.dumps(road.sandbox.commerce.snapshot(), use_decimal=True)
    process = context.Process(target=_serve, args=(theirs, state), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, state: str) -> None:
    with Sandbox(build(datetime.now(UTC)).without_orders()) as sandbox:
        sandbox.commerce.restore(simplejson.loads(state, use_decimal=True))
        sandbox.commerce_faults.add(Fault("*", "slow", times=1_000_000, seconds=SECONDS_PER_CALL))
        pipe.send(sandbox.commerce_url)
        threading.Event().wait()  # until it is killed
