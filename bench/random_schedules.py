"""Plays random schedules of troubles over the whole road, and counts those that delayed something sound."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from bench import Figure
from bench.history import empty_database
from include.database.engine import make_engine
from include.outbox import order_checks
from local.sandbox.scenario import build
from tests.support.plain_rules import validate_lines
from tests.support.random_world import open_roads, play

# So many share a database and the shops; the local servers read all their orders at every search.
_TOGETHER = 20


def measure(orders: int) -> list[Figure]:
    """Play a schedule per 500 `orders`, from number ORDERS_BENCH_FIRST_SCHEDULE on. Takes a second or two for each."""
    count = orders // 500
    first = int(os.environ.get("ORDERS_BENCH_FIRST_SCHEDULE", "0"))
    setattr(order_checks, "validate_lines", validate_lines)  # noqa: B010 - the rules in plain Python, as in the tests
    failed: list[str] = []
    started = time.monotonic()
    for begin in range(first, first + count, _TOGETHER):
        seeds = list(range(begin, min(begin + _TOGETHER, first + count)))
        while seeds:
            seeds = _play_until_one_fails(seeds, failed)
    for message in failed:
        print(f"    {message}", flush=True)
    return [
        Figure("random schedules played", count, ""),
        Figure("random schedules that delayed or doubled something", len(failed), "", 0),
        Figure("random schedules, time for each", round((time.monotonic() - started) / max(count, 1), 2), "s"),
    ]


def _play_until_one_fails(seeds: list[int], failed: list[str]) -> list[int]:
    """Play the schedules on a new road; the ones after a failed one are left, and returned."""
    with empty_database() as admin:
        engine = make_engine(admin.url.set(username="orders_rw"), application_name="bench", is_pooled=True)
        number = 1
        with open_roads(engine, build(datetime.now(UTC))) as road:
            for place, seed in enumerate(seeds):
                try:
                    number = play(road, seed, number)
                except AssertionError as error:
                    failed.append(str(error)[:2000])
                    return seeds[place + 1 :]
        engine.dispose()
    return []
