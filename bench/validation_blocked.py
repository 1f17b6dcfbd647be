"""validate_orders when 5,000 orders are blocked and nothing has changed, in a process of its own, as a task is."""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection

from sqlalchemy import URL

from bench import Figure
from bench.creation import CallClock, empty_road
from include.database.engine import make_engine
from include.domain.stores import Stores
from local.sandbox.scenario import build
from local.sandbox.seeds import Product
from local.sandbox.servers import Sandbox
from tests.support.orders import order_id
from tests.support.road import Road

BLOCKED, SKUS = 5_000, 500
_COUNT = "select count(*) from core.orders where pipeline_state = 'blocked'"


@dataclass(frozen=True)
class _Task:
    """What the other process needs."""

    database_url: URL
    commerce_url: str
    stores: Stores
    skipped: timedelta
    run_number: int


def measure(orders: int) -> list[Figure]:
    """Block 5,000 orders over 500 SKUs, and validate again; `orders` does not matter. Seconds and MB."""
    with empty_road() as road:
        for number in range(SKUS // 2):  # out of stock; the other half is missing
            none = {1: Decimal(0)}
            product = Product(10_000 + number, _sku(number), f"Product {number}", Decimal(10), (1,), quantities=none)
            road.sandbox.commerce.add_product(product)
        for number in range(1, BLOCKED + 1):
            road.buy(order_id(number), {_sku(number % SKUS): 1})
        for _ in range(10):  # one run lists a part of so many
            road.pass_time(minutes=10)
            road.orders_run(create=lambda account_name: None)
            if road.value(_COUNT) == BLOCKED:
                break
        road.run_number += 1
        task = _Task(road.engine.url, road.sandbox.commerce_url, road.stores, road.skipped, road.run_number)
        seconds, calls, megabytes = _in_a_process(task)
        blocked = road.value(_COUNT)
    if blocked != BLOCKED:
        raise SystemExit(f"{BLOCKED} orders were to be blocked, {blocked} are")
    name = f"validate_orders, {BLOCKED:,} blocked orders over {SKUS} SKUs, second run"
    return [
        Figure(f"{name}: own time (calls excluded)", round(seconds - calls, 2), "s", 3),
        Figure(f"{name}: the shop's time", round(calls, 2), "s"),
        Figure(f"{name}: memory", round(megabytes), "MB", 400),
    ]


def _sku(number: int) -> str:
    return f"BENCH-{number:04}"


def _in_a_process(task: _Task) -> tuple[float, float, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_validate, args=(theirs, task), daemon=True)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the validation failed")
    found: tuple[float, float, float] = ours.recv()
    return found


def _validate(pipe: Connection, task: _Task) -> None:
    """Validate once. Sends the seconds it took, those of the calls, and the most memory of this process in MB."""
    scenario = build(datetime.now(UTC)).without_orders()
    sandbox = Sandbox(scenario)  # not started: it only says where the other process has its own
    sandbox.commerce_url = task.commerce_url
    engine = make_engine(task.database_url, application_name="bench", is_pooled=True)
    road = Road(engine, sandbox, scenario, stores=task.stores, skipped=task.skipped, run_number=task.run_number)
    clock, shop = CallClock(), road.shop
    road.shop = clock.watch(shop)
    started = time.perf_counter()
    road.validate_orders()
    seconds = time.perf_counter() - started
    shop.close()
    engine.dispose()
    pipe.send((seconds, clock.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
