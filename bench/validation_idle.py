"""How long validate_orders takes when it has nothing to do, beside a long history.

    python -m bench.validation_idle [finished orders]

Prints each value with its reach; exits with 1 if one is missed.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

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


def measure(engine: Engine) -> list[dict[str, Any]]:
    """Measure on a database that bench.history has filled; rows of name, value, unit, reach and holds."""
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
        validate_orders.run(engine, no_shop, stores, now=now, dag_run_id="bench")

    def allocated() -> None:
        with engine.connect() as connection:
            connection.execute(load_statements(validate_orders.__file__)["allocated"], {"now": now}).all()

    return [
        _row(f"validate_orders, nothing to do, {total:,} orders", _median(validate), 0.3),
        _row(f"validate_orders: the stock that {_OPEN:,} open orders hold, {total:,} orders", _median(allocated), 0.3),
    ]


def _row(name: str, value: float, reach: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "unit": "s", "reach": reach, "holds": value < reach}


def _median(work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main(finished: int) -> None:
    """Fill, measure and print."""
    logging.getLogger("include").setLevel(logging.WARNING)
    with empty_database() as engine:
        started = time.perf_counter()
        fill_history(engine, finished=finished, open_=_OPEN)
        print(f"filled in {time.perf_counter() - started:.0f} s")
        rows = measure(engine)
    for row in rows:
        verdict = "holds" if row["holds"] else "MISSED"
        print(f"{row['name']:80} {row['value']:>10} {row['unit']:5} reach {row['reach']:>4} {verdict}")
    if not all(row["holds"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
