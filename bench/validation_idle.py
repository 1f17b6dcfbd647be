"""How long validate_orders takes when it has nothing to do, beside a long history; it must not call any shop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from bench import Figure
from bench.history import empty_database, fill_history
from include.adapters.commerce.client import CommerceClient
from include.adapters.stores_file import load_stores
from include.database.statements import load_statements
from include.settings import Settings
from include.steps import validate_orders

ROUNDS = 5
_OPEN = 2_000
# Nothing waits to be checked or created; what is linked stays open.
_SETTLE = (
    "update core.orders set pipeline_state = 'waiting' where pipeline_state in ('new', 'blocked', 'ready', 'rejected')",
    "update ops.order_outbox set state = 'canceled' where state in ('planned', 'rejected')",
)


def measure(orders: int) -> list[Figure]:
    """Fill a database with `orders` finished orders and 2,000 open ones, and validate. Two figures, in seconds."""
    with empty_database() as engine:
        fill_history(engine, finished=orders, open_=_OPEN)
        return _measure(engine)


def _measure(engine: Engine) -> list[Figure]:
    with engine.begin() as connection:
        for statement in _SETTLE:
            connection.execute(text(statement))
        total = connection.execute(text("select count(*) from core.orders")).scalar_one()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze core.orders, ops.order_outbox"))
    stores = load_stores(Settings().stores_file)
    now = datetime.now(UTC)

    def no_shop(name: str) -> CommerceClient:
        raise SystemExit(f"validate_orders called the shop {name} although it has nothing to do")

    def validate() -> None:
        validate_orders.run(engine, no_shop, stores, Settings(), now=now, dag_run_id="bench")

    def allocated() -> None:
        with engine.connect() as connection:
            connection.execute(load_statements(validate_orders.__file__)["allocated"], {"now": now}).all()

    return [
        Figure(f"validate_orders, nothing to do, {total:,} orders", _median(validate), "s", 0.3),
        Figure(
            f"validate_orders, stock of {_OPEN:,} open orders, {total:,} orders",
            _median(allocated),
            "s",
            0.3,
        ),
    ]


def _median(work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds), 4)
