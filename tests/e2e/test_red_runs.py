"""Runs that fail, under a real scheduler: the last line of a red task's log, and what people see of the run elsewhere.

One account has wrong credentials, the host of another is down, the task of the third is killed, the reporting DAG meets
an error that nobody foresaw. Then even the first task fails.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from include.database.engine import make_engine
from local.airflow_api import AirflowApi, DagRunFailedError
from local.sandbox.faults import Fault
from tests.e2e.conftest import Install
from tests.support.installation import CHECKOUT, ORDERS, REPORTING, SHIPMENTS, Installation
from tests.support.scheduled_airflow import scheduled
from tests.support.waiting import SLOW_SECONDS

RUN_SECONDS = 600  # only a safety net
AMERICA = "ATVPDKIKX0DER"  # in each request for acme-na's orders
AMERICA_INDEX, EUROPE, FAR_EAST = range(3)  # the accounts' places in stores.yaml
RETRIES = 1
SELDOM = "0 0 29 2 *"  # no scheduled run goes first
FRESHNESS = "select * from reporting.data_freshness order by stream, store_name"


@dataclass(frozen=True)
class Aftermath:
    """The installation after both runs, their ids, what the view said after each, and answers about backfills."""

    installation: Installation
    first: str
    second: str
    seen_first: list[Any]
    seen_second: list[Any]
    details: dict[str, Any]
    backfill: httpx.Response

    def log(self, run_id: str, task: str, attempt: int = 1) -> list[dict[str, Any]]:
        """The lines of a task's log, without the marks between which Airflow folds lines."""
        (path,) = (self.installation.folder / "logs").glob(
            f"dag_id=*/run_id={run_id}/task_id={task}/attempt={attempt}.log"
        )
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in entries if not entry["event"].startswith(("::group::", "::endgroup::"))]


@pytest.fixture(scope="module")
def aftermath(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Two red runs of the orders DAG, and the reporting DAG between them."""
    folder = tmp_path_factory.mktemp("red")
    stores_file = folder / "stores.yaml"
    shutil.copy(CHECKOUT / "include" / "stores.yaml", stores_file)
    with install(folder) as installation:
        installation.settings |= {
            "ORDERS_TASK_RETRIES": str(RETRIES),
            "ORDERS_STORES_FILE": str(stores_file),
            "ORDERS_SYNC_SCHEDULE": SELDOM,
        }
        installation.connections["amazon_sp_api_eu"]["extra"]["client_secret"] = "wrong-secret-0815"
        installation.connections["amazon_sp_api_fe"]["host"] = "http://127.0.0.1:1"
        hang = Fault("searchOrders", "slow", times=1000, seconds=SLOW_SECONDS, about=AMERICA)
        installation.sandbox.amazon_faults.add(hang)
        with make_engine(installation.orders_url, application_name="tests").begin() as connection:
            connection.execute(text("alter table ops.published_rules rename to hidden_rules"))
        with scheduled(installation) as api, killing(installation):
            first = red_run(api)
            with pytest.raises(DagRunFailedError):
                api.wait_for_triggered(ORDERS, first, REPORTING, RUN_SECONDS)
            seen_first = installation.rows(FRESHNESS)
            stores_file.write_text("accounts: []\n", encoding="utf-8")
            second = red_run(api)
            seen_second = installation.rows(FRESHNESS)
            details = api._get(f"/api/v2/dags/{ORDERS}/details")
            dates = {"from_date": "2028-01-01T00:00:00Z", "to_date": "2028-12-31T00:00:00Z"}
            backfill = api._client.post("/api/v2/backfills", json={"dag_id": ORDERS, **dates})
        yield Aftermath(installation, first, second, seen_first, seen_second, details, backfill)


def red_run(api: AirflowApi) -> str:
    """Run the orders DAG to its red end. Returns the id of the run."""
    with pytest.raises(DagRunFailedError) as failed:
        api.run(ORDERS, RUN_SECONDS)
    return failed.value.tasks[0].run_id


@contextmanager
def killing(installation: Installation) -> Iterator[None]:
    """Kill every task that reads acme-na's orders, as a machine without memory does it."""
    over, killed = threading.Event(), set[int]()
    running = (
        "select pid from task_instance where state = 'running' and pid is not null"
        " and task_id = 'extract_amazon_orders' and map_index = 0"
    )

    def kill() -> None:
        while not over.wait(0.2):
            for pid in {row.pid for row in installation.airflow_rows(running)} - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    with ThreadPoolExecutor() as beside:
        killer = beside.submit(kill)
        try:
            yield
        finally:
            over.set()
    killer.result()
    assert len(killed) == 1 + RETRIES


def of_store(seen: list[Any], store_name: str) -> Any:
    (row,) = [row for row in seen if row.store_name == store_name]
    return row


def test_log_ends_with_the_reason_when_only_a_person_can_fix_it(aftermath: Aftermath) -> None:
    entries = aftermath.log(aftermath.first, f"extract_amazon_orders/map_index={EUROPE}")
    assert entries[-1]["level"] == "error"
    assert entries[-1]["event"].startswith("amazon token for account acme-eu: refused (invalid_client). Resolution: ")
    assert "\n" not in entries[-1]["event"]
    assert [entry["event"] for entry in entries if entry["level"] == "error"] == [entries[-1]["event"]]
    assert not [entry for entry in entries if "error_detail" in entry], "a traceback"


def test_log_of_each_try_has_the_reason_when_the_other_system_is_down(aftermath: Aftermath) -> None:
    tried, last = (
        aftermath.log(aftermath.first, f"extract_amazon_orders/map_index={FAR_EAST}", attempt) for attempt in (1, 2)
    )
    assert last[-1]["level"] == "error"
    assert "the server was not reached (ConnectError). Resolution: " in last[-1]["event"]
    # Airflow adds what happens next.
    assert (tried[-2]["event"], tried[-2]["level"]) == (last[-1]["event"], "error")
    assert (tried[-1]["event"], tried[-1]["action"]) == ("Retry policy decision", "retry")
    assert not [entry for entry in tried + last if "error_detail" in entry], "a traceback"


def test_log_keeps_the_traceback_when_nobody_foresaw_the_error(aftermath: Aftermath) -> None:
    (run_id,) = {
        row.run_id
        for row in aftermath.installation.airflow_rows("select run_id from dag_run where dag_id = :id", id=REPORTING)[
            :1
        ]
    }
    entries = aftermath.log(run_id, "publish_recent_orders")
    failed = next(entry for entry in entries if entry["level"] == "error")
    assert failed["event"] == "Task failed with exception"
    assert failed["error_detail"][0]["exc_type"] == "ProgrammingError"
    assert failed["error_detail"][0]["frames"]


def test_last_task_names_every_reason_when_several_tasks_have_failed(aftermath: Aftermath) -> None:
    reason = aftermath.log(aftermath.first, "run_complete")[-1]
    assert reason["level"] == "error"
    for part in (
        "extract_amazon_orders (acme-eu): amazon token",
        "extract_amazon_orders (acme-fe): amazon searchOrders: the server was not reached",
        f"extract_amazon_orders_{AMERICA_INDEX}: it ended without a reason: its process was killed",
    ):
        assert part in reason["event"]


def test_people_see_why_when_a_run_has_failed(aftermath: Aftermath) -> None:
    seen = aftermath.seen_first
    rows = [row for row in seen if row.dag_id == ORDERS]
    assert {(row.last_run_state, row.last_success_at, row.is_overdue) for row in rows} == {("failed", None, False)}
    assert len(rows[0].last_run_reason.splitlines()) == 3
    assert "Resolution: " in of_store(seen, "Acme UK").problem
    (reporting,) = [row for row in seen if row.dag_id == REPORTING]
    assert reporting.last_run_state == "failed"
    assert reporting.last_run_reason.startswith(
        "publish_recent_orders: an error that nobody foresaw (ProgrammingError). Resolution: "
    )
    assert [row.last_run_state for row in seen if row.dag_id == SHIPMENTS] == [None]


def test_people_see_why_when_the_first_task_has_failed(aftermath: Aftermath) -> None:
    log = aftermath.log(aftermath.second, "stage_stores")
    row = of_store(aftermath.seen_second, "Acme UK")
    assert (log[-1]["level"], row.last_run_state) == ("error", "failed")
    # The tasks that go on after a failure need the stores file, too.
    assert row.last_run_reason.splitlines()[0] == f"stage_stores: {log[-1]['event']}"
    assert "stores.yaml:1: " in row.last_run_reason
    assert row.last_run_started_at > of_store(aftermath.seen_first, "Acme UK").last_run_started_at


def test_backfill_is_neither_offered_nor_possible_when_runs_read_what_is_new(aftermath: Aftermath) -> None:
    assert aftermath.details["is_backfillable"] is False
    assert aftermath.backfill.status_code == 400
    assert "does not allow backfill runs" in aftermath.backfill.text
