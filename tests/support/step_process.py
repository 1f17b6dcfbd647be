"""Runs one step of the road in a process of its own, so that a test can kill it.

Nothing is simulated: the process talks to the test's own servers and database as a worker does, and dies as one.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL

from include.adapters.personal_data import PersonalDataCipher
from include.database.engine import make_engine
from include.domain.stores import Stores
from include.settings import Settings
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.fragile_road import FragileRoad
from tests.support.road import Road
from tests.support.waiting import PATIENCE_SECONDS, PATIENT, wait_until

CHECKOUT = Path(__file__).parents[2]
APPLICATION = "step_process"
PII_KEY = "uFhFdM5mPWSrQnu8S0PZ7yv9Z6gT3vS0yq1m8ZkPp2E="

# Forked from a process that has the imports and no threads: each step starts at once and holds nobody's locks.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "tests.support.step_process"])


@dataclass(frozen=True)
class _Order:
    """What the other process needs to walk the same road."""

    database_url: URL
    amazon_url: str
    commerce_url: str
    settings: Settings
    stores: Stores
    skipped: timedelta
    run_number: int
    step: str
    dies_at: str


class StepProcess:
    """One step of `road`, running in another process. `road` must use PII_KEY.

    `dies_at` is a moment as FragileRoad names it, at which the process kills itself; without it the process runs until
    it ends or `kill_when` is called.
    """

    def __init__(self, road: Road, step: str, *, dies_at: str = "") -> None:
        self._road = road
        self._process = _context.Process(target=_run, args=(_order(road, step, dies_at),))
        self._process.start()

    def kill_when(self, is_the_moment: Callable[[], object]) -> None:
        """Kill the process as soon as the moment has come."""
        try:
            wait_until(lambda: is_the_moment() or not self._process.is_alive(), "the moment to kill")
        finally:
            self._process.kill()
        self.wait_for_death()

    def wait_for_death(self) -> None:
        """Wait until the process is dead. Fails when it ended in any other way than by a kill."""
        self._process.join(PATIENCE_SECONDS)
        exit_code = self._process.exitcode
        self._process.kill()
        assert exit_code == -signal.SIGKILL, f"the step ended with {exit_code} before it was killed"

    def wait_until_forgotten(self) -> None:
        """PostgreSQL frees the locks of a dead client as soon as it notices; wait for that."""
        sessions = (
            "select count(*) from pg_stat_activity where application_name = :name and datname = current_database()"
        )
        wait_until(lambda: self._road.value(sessions, name=APPLICATION) == 0, "the dead process's sessions to end")

    def is_waiting_for_a_lock(self) -> bool:
        """Whether a statement of the process waits for somebody else's lock."""
        waiting = (
            "select count(*) from pg_stat_activity"
            " where application_name = :name and datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(self._road.value(waiting, name=APPLICATION))


def modules_after(road: Road, step: str) -> set[str]:
    """The packages that a fresh Python has imported after it has done one step of `road`."""
    script = (
        "import pickle, sys; from tests.support.step_process import _run; _run(pickle.load(sys.stdin.buffer));"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    order = pickle.dumps(_order(road, step))
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, input=order, stdout=subprocess.PIPE, check=True)
    return set(done.stdout.decode().splitlines()[-1].split())


def _order(road: Road, step: str, dies_at: str = "") -> _Order:
    return _Order(
        database_url=road.engine.url,
        amazon_url=road.sandbox.amazon_url,
        commerce_url=road.sandbox.commerce_url,
        settings=road.settings,
        stores=road.stores,
        skipped=road.skipped,
        run_number=road.run_number,
        step=step,
        dies_at=dies_at,
    )


def _run(order: _Order) -> None:
    scenario = build(datetime.now(UTC))
    sandbox = Sandbox(scenario)  # not started: it only says where the test's own one is
    sandbox.amazon_url, sandbox.commerce_url = order.amazon_url, order.commerce_url
    road = FragileRoad(
        engine=make_engine(order.database_url, application_name=APPLICATION, is_pooled=True),
        sandbox=sandbox,
        scenario=scenario,
        settings=order.settings,
        stores=order.stores,
        cipher=PersonalDataCipher([PII_KEY]),
        skipped=order.skipped,
        run_number=order.run_number,
        timeouts=PATIENT,
        at_moment=lambda moment: os.kill(os.getpid(), signal.SIGKILL) if moment == order.dies_at else None,
    )
    getattr(road, order.step)()
