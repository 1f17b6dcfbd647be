"""How long publish_recent_orders takes when nothing changed and when 100 orders changed, beside a long history."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from bench import Figure
from bench.history import empty_database, fill_history, order_id
from include.steps import publish_recent_orders

ROUNDS = 5
CHANGED = 100
# Facts of orders all over the history change as the pipeline changes them.
_CHANGE = text("""
    update core.orders
    set state_reason = 'Changed.', amazon_last_updated_at = amazon_last_updated_at + interval '1 second'
    where amazon_order_id = any(:order_ids)
""")
_QUEUE = text("insert into ops.orders_to_publish (amazon_order_id) select unnest(cast(:order_ids as text[]))")


def measure(orders: int) -> list[Figure]:
    """Fill a database with `orders` finished orders and publish: seconds, WAL and temporary files of each case."""
    with empty_database() as engine:
        fill_history(engine, finished=orders)
        return _measure(engine)


def _measure(engine: Engine) -> list[Figure]:
    with engine.connect() as connection:
        total = connection.execute(text("select count(*) from core.orders")).scalar_one()
    _check_history(engine, total)
    figures: list[Figure] = []
    for name, changed, reach in (("nothing changed", 0, 0.1), (f"{CHANGED} orders changed", CHANGED, 0.2)):
        seconds, wal, temporary = [], [], []
        for _ in range(ROUNDS):
            if changed:
                with engine.begin() as connection:
                    connection.execute(_CHANGE, {"order_ids": _spread(changed, total)})
            before = _counters(engine)
            started = time.perf_counter()
            counts = _publish(engine)
            seconds.append(time.perf_counter() - started)
            after = _counters(engine)
            if counts != {"read": changed, "written": changed}:
                raise SystemExit(f"{changed} orders changed, published: {counts}")
            wal.append(after[0] - before[0])
            temporary.append(after[1] - before[1])
        what = f"publish_recent_orders, {name}, {total:,} orders"
        figures += [
            Figure(what, round(statistics.median(seconds), 4), "s", reach),
            Figure(f"{what}: WAL", round(max(wal) / 1e6, 3), "MB", 2),
            Figure(f"{what}: temporary files", max(temporary), "bytes", 0),
        ]
    return figures


def _publish(engine: Engine) -> dict[str, int]:
    return publish_recent_orders.run(engine, now=datetime.now(UTC), dag_run_id="bench")


def _counters(engine: Engine) -> tuple[int, int]:
    """Bytes of WAL and of temporary files so far."""
    query = """
        select cast(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bigint) as wal_bytes, temp_bytes
        from pg_stat_database
        where datname = current_database()
    """
    time.sleep(0.2)  # a session that ends reports its temporary files a moment later
    with engine.connect() as connection:
        wal_bytes, temporary_bytes = connection.execute(text(query)).one()
    return wal_bytes, temporary_bytes


def _spread(count: int, total: int) -> list[str]:
    """That many orders, from all over the history."""
    return [order_id(1 + number * total // count) for number in range(count)]


def _check_history(engine: Engine, total: int) -> None:
    """The prepared rows are those that the step would write, or the figures mean nothing."""
    with engine.begin() as connection:
        connection.execute(_QUEUE, {"order_ids": _spread(5_000, total)})
    counts = _publish(engine)
    if counts["written"] or counts["read"] != 5_000:
        raise SystemExit(f"the prepared rows differ from what is published: {counts}")
