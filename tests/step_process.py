"""Runs one step of the road in a process of its own, so that a test can kill it: `python -m tests.step_process`.

The order comes as JSON in the first argument. Nothing is simulated: the process talks to the test's own servers and
database as a worker would, and dies as a worker would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from include.adapters.http import Timeouts
from include.adapters.personal_data import PersonalDataCipher
from include.database.engine import make_engine
from include.sandbox.scenario import build
from include.sandbox.servers import Sandbox
from include.settings import Settings
from tests.fragile_road import FragileRoad
from tests.road import Road

APPLICATION = "step_process"
PII_KEY = "uFhFdM5mPWSrQnu8S0PZ7yv9Z6gT3vS0yq1m8ZkPp2E="
_PATIENCE_SECONDS = 60


class StepProcess:
    """One step of `road`, running in another process. `road` must use PII_KEY.

    `dies_at` is a moment as FragileRoad names it, at which the process kills itself; without it the process runs until
    it ends or `kill` is called.
    """

    def __init__(self, road: Road, step: str, *, dies_at: str = "") -> None:
        self.road = road
        order = {
            "database_url": road.engine.url.render_as_string(hide_password=False),
            "amazon_url": road.sandbox.amazon_url,
            "commerce_url": road.sandbox.commerce_url,
            "settings": asdict(road.settings),
            "skipped_seconds": road.skipped.total_seconds(),
            "run_number": road.run_number,
            "step": step,
            "dies_at": dies_at,
        }
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.step_process", json.dumps(order)], stderr=self._errors
        )

    def kill_when(self, is_the_moment: Callable[[], object]) -> None:
        """Kill the process as soon as the moment has come."""
        try:
            _wait_for(lambda: is_the_moment() or self._process.poll() is not None, "the moment to kill")
        finally:
            self._process.kill()
        self.wait_for_death()

    def wait_for_death(self) -> None:
        """Wait until the process is dead. Fails when it ended in any other way than by a kill."""
        try:
            self._process.wait(_PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()
            self._errors.close()
        assert self._process.returncode == -signal.SIGKILL, f"the step ended before it was killed:\n{said}"

    def wait_until_forgotten(self) -> None:
        """PostgreSQL frees the locks of a dead client as soon as it notices; wait for that."""
        sessions = "select count(*) from pg_stat_activity where application_name = :name"
        _wait_for(lambda: self.road.value(sessions, name=APPLICATION) == 0, "the dead process's sessions to end")

    def is_waiting_for_a_lock(self) -> bool:
        """Whether a statement of the process waits for somebody else's lock."""
        waiting = "select count(*) from pg_stat_activity where application_name = :name and wait_event_type = 'Lock'"
        return bool(self.road.value(waiting, name=APPLICATION))


def _wait_for(condition: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.01)


def main() -> None:
    """Do what the first argument says."""
    order = json.loads(sys.argv[1])
    scenario = build(datetime.now(UTC))
    sandbox = Sandbox(scenario)  # not started: it only says where the test's own one is
    sandbox.amazon_url, sandbox.commerce_url = order["amazon_url"], order["commerce_url"]
    road = FragileRoad(
        engine=make_engine(order["database_url"], application_name=APPLICATION),
        sandbox=sandbox,
        scenario=scenario,
        settings=Settings(**order["settings"]),
        cipher=PersonalDataCipher([PII_KEY]),
        skipped=timedelta(seconds=order["skipped_seconds"]),
        run_number=order["run_number"],
        timeouts=Timeouts(30, 30),
        at_moment=lambda moment: os.kill(os.getpid(), signal.SIGKILL) if moment == order["dies_at"] else None,
    )
    getattr(road, order["step"])()


if __name__ == "__main__":
    main()
