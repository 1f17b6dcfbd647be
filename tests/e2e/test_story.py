"""The story of `make demo` and `make up`: played once, with what a person sees afterwards and at the next start.

The story's runs are those of `airflow dags test` in one process here; everything else is as `make` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest

from local import postgres, story
from local.sandbox.clock import SandboxClock
from local.sandbox.scenario import ADDRESS_TO_CORRECT, build, order_id
from local.sandbox.servers import Sandbox
from tests.support.installation import (
    CHECKOUT,
    DagRun,
    Installation,
    connections_to,
    copied_database,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.warm_airflow import WarmAirflow

# `python -m local <command>` with the data of another folder than the checkout's.
PROGRAM = "import os, sys; from pathlib import Path; from local import demo; " + (
    "sys.exit(demo.main(Path(sys.argv[1]), os.environ, keep_running=sys.argv[2] == 'up'))"
)


@dataclass
class Dags:
    """Stands in for AirflowApi: a triggered run is run at once. Stops with KeyboardInterrupt before run `stop_at`."""

    dags_test: Callable[..., DagRun]
    stop_at: int | None = None
    runs: list[str] = field(default_factory=list)

    def wait_for_dags(self, dag_ids: tuple[str, ...]) -> None: ...

    def set_paused(self, dag_id: str, is_paused: bool) -> None: ...

    def trigger(self, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
        if len(self.runs) == self.stop_at:
            raise KeyboardInterrupt
        self.runs.append(dag_id)
        run = self.dags_test(dag_id, **(params or {}))
        assert run.state == "success", run.output[-3000:]
        return run.run_id

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float) -> None: ...

    def wait_for_triggered(self, source: str, source_run_id: str, dag_id: str, seconds: float) -> None:
        self.trigger(dag_id)


@dataclass(frozen=True)
class Played:
    """A folder in which the story was played, in two parts. `runs` are the DAGs that ran, in order."""

    installation: Installation
    runs: list[str]
    parts: list[int]

    def make(self, command: str) -> subprocess.Popen[str]:
        """Start `make demo` or `make up` on this folder."""
        kept = {
            name: value
            for name, value in self.installation.variables().items()
            if not name.startswith(("AIRFLOW_CONN_AMAZON", "AIRFLOW_CONN_COMMERCE", "ORDERS_WINDOW", "ORDERS_TASK"))
        }
        ports = {
            name: str(free_port())
            for name in ("ORDERS_SANDBOX_AMAZON_PORT", "ORDERS_SANDBOX_COMMERCE_PORT", "AIRFLOW__API__PORT")
        }
        analyst = json.dumps(self.installation.connections["orders_db"] | {"login": "analyst"})
        own = {
            "AIRFLOW_CONN_ORDERS_DB_ANALYST": analyst,
            "ORDERS_DB_ADMIN_URL": self.installation.orders_url.render_as_string(),
            "PYTHONPATH": f"{self.installation.folder}:{CHECKOUT}",
        }
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.installation.folder), command],
            cwd=CHECKOUT,
            env=kept | ports | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def sandbox_state(self) -> Any:
        """What the sandbox has saved, without the tokens that it hands out."""
        state = json.loads((self.installation.folder / ".data/sandbox/sandbox.json").read_text(encoding="utf-8"))
        state["amazon"].pop("tokens")
        return state


@contextmanager
def started(played: Played, command: str) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; ended at the end."""
    with played.make(command) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def played(
    warm_airflow: WarmAirflow,
    server: postgres.ServerAddress,
    template: str,
    airflow_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Played]:
    """The story, interrupted after its second step and played on from there."""
    folder = tmp_path_factory.mktemp("story")
    (folder / ".data").mkdir()
    for name in ("dags", "include", "plugins"):
        (folder / name).symlink_to(CHECKOUT / name)
    with (
        copied_database(server, template, "story_orders") as orders,
        copied_database(server, airflow_template, "story_airflow") as metadata,
    ):
        clock = SandboxClock(-timedelta(minutes=story.STARTS_MINUTES_AGO))
        seeds = build(clock.now())
        with Sandbox(build, clock=clock, state_dir=folder / ".data" / "sandbox") as sandbox:
            installation = Installation(
                folder, orders, metadata, sandbox, warm_airflow, connections=connections_to(sandbox, seeds, orders)
            )
            installation.settings["ORDERS_WINDOW_MINIMUM_SECONDS"] = "60"
            parts, runs = [], []
            with installation.console() as dags_test:
                for stop_at in (4, None):
                    dags = Dags(dags_test, stop_at)
                    try:
                        story.play(folder, dags, sandbox.amazon_url, story.steps_done(folder))  # type: ignore[arg-type]
                    except KeyboardInterrupt:
                        assert stop_at is not None
                    parts.append(story.steps_done(folder))
                    runs += dags.runs
        yield Played(installation, runs, parts)


def test_story_goes_on_where_it_was_when_it_is_interrupted(played: Played) -> None:
    o, s, r = story.ORDERS, story.SHIPMENTS, story.REPORTING
    assert played.parts == [2, len(story.STEPS)]
    assert played.runs == [o, story.REPAIR, o, s, o, s, o, r]


def test_no_order_is_bought_in_the_future_when_the_story_is_over(played: Played) -> None:
    (times,) = played.installation.rows("select max(purchased_at) as last from reporting.recent_orders")
    assert times.last < datetime.now(UTC)
    # From now on the sandbox has real time.
    assert abs(float(played.sandbox_state()["clock_offset_seconds"])) < 60


def test_whole_life_of_orders_is_shown_when_the_story_is_over(played: Played) -> None:
    rows = played.installation.rows("select status, count(*) as orders from reporting.recent_orders group by status")
    counts = {row.status: row.orders for row in rows}
    assert counts["Completed"] > 10
    assert {"Unshipped", "Partially Shipped", "Shipped", "Canceled", "Pending", "Error"} <= set(counts)
    packages = played.installation.rows("select distinct state from ops.shipment_outbox")
    assert [package.state for package in packages] == ["accepted"]
    blockers = played.installation.rows("select distinct blocker_code as code from reporting.blocked_orders")
    assert {blocker.code for blocker in blockers} == {"missing_product", "out_of_stock", "buyer_requested_cancel"}


def test_shop_follows_amazon_when_an_order_and_a_line_are_canceled(played: Played) -> None:
    rows = played.installation.rows(
        "select orders.status, changes.state, changes.note from ops.order_change_outbox as changes"
        " inner join reporting.recent_orders as orders using (amazon_order_id)"
        " where kind = 'canceled_units' and amazon_order_id in (:whole, :line) order by orders.status",
        whole=order_id("us-created-then-canceled"),
        line=order_id("us-line-canceled"),
    )
    assert [(row.status, row.state) for row in rows] == [("Canceled", "done"), ("Unshipped", "done")], rows


def test_order_is_created_when_its_address_has_been_corrected(played: Played) -> None:
    (order,) = played.installation.rows(
        "select status, is_blocked, commerce_order_number from reporting.recent_orders"
        " where amazon_order_id = :amazon_order_id",
        amazon_order_id=order_id(ADDRESS_TO_CORRECT),
    )
    assert (order.status, order.is_blocked) == ("Unshipped", False)
    assert order.commerce_order_number
    cities = [
        found["extension_attributes"]["shipping_assignments"][0]["shipping"]["address"]["city"]
        for found in played.sandbox_state()["commerce"]["orders"]
        if found["ext_order_id"] == order_id(ADDRESS_TO_CORRECT)
    ]
    assert cities == [story.CORRECT_ADDRESS["address"]["city"]]


def test_dry_run_says_what_the_next_run_does_when_it_comes_first(played: Played) -> None:
    rows = played.installation.rows("select amazon_order_id, action from ops.dry_run_results")
    found = {(row.amazon_order_id, row.action) for row in rows}
    assert found >= {
        (order_id("us-arrives-first"), "create"),
        (order_id(ADDRESS_TO_CORRECT), "create"),
        (order_id("us-created-then-canceled"), "canceled_units"),
        (order_id("us-line-canceled"), "canceled_units"),
        (order_id("us-missing-product"), "block"),
    }


def test_result_is_printed_and_nothing_runs_when_the_story_has_been_played(played: Played) -> None:
    before = played.sandbox_state()
    with started(played, "demo") as process:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, printed
    assert "It is not played again." in printed
    assert "Checked: each Commerce order that Recent Orders shows is in the shop exactly once" in printed
    assert "LANTERN-COPPER" in printed
    assert not list(played.installation.folder.glob(".data/logs/scheduler.log")), "Airflow is not needed"
    assert played.sandbox_state() == before


def test_check_fails_when_recent_orders_and_the_shop_differ(played: Played) -> None:
    number = (
        "update reporting.recent_orders set commerce_order_number = {} where commerce_order_number = {} returning 1"
    )
    assert played.installation.rows(number.format("'lost'", "'000000001'"))
    with started(played, "demo") as process:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    played.installation.rows(number.format("'000000001'", "'lost'"))
    assert process.returncode == 1
    assert "Recent Orders shows Commerce order lost" in printed


def test_airflow_is_ready_and_plays_nothing_when_up_is_started_again(played: Played) -> None:
    installation = played.installation
    runs = "select run_id from dag_run where run_type = 'manual' order by run_id"
    manual, before = installation.airflow_rows(runs), played.sandbox_state()
    with started(played, "up") as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("The DAGs now run on their schedules."):
                break
        address, page = (line.split() for line in lines[-3:-1])
        assert address[:4] == ["Airflow", "is", "running", "at"], "".join(lines)
        assert page == ["Recent", "Orders:", f"{address[4]}/plugin/recent-orders"]
        assert httpx.get(page[2], trust_env=False, timeout=PATIENCE_SECONDS).status_code == 200
        health = f"{address[4]}/api/v2/monitor/health"
        wait_until(
            lambda: httpx.get(health, trust_env=False).json()["triggerer"]["status"] == "healthy", "a green home page"
        )
        paused = "select dag_id from dag where is_paused"
        wait_until(lambda: not installation.airflow_rows(paused), "the schedules to be on")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, rest
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert installation.airflow_rows(runs) == manual
    after = played.sandbox_state()
    assert after["clock_offset_seconds"] == before["clock_offset_seconds"]
    assert after["commerce"]["orders"] == before["commerce"]["orders"]
    assert os.listdir(installation.folder / ".data" / "logs")
