"""The rules that every DAG file keeps: names, documentation, retries, pools, assets; reading one does nothing."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from include.domain.errors import (
    MalformedOrderError,
    MisconfiguredError,
    NotFoundError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    RunIncompleteError,
    ThrottledError,
    UnavailableError,
)
from local.documents import read_dags
from tests.support.airflow_dags import CHECKOUT, Bag, Dag, read_bag, retry_policy

FILES = sorted((CHECKOUT / "dags").glob("*.py"))
DAG_IDS = [path.stem for path in FILES]
HEADINGS = ["Does", "Reads", "Writes", "Schedule", "Safe to re-run because", "When it fails"]
TAGS = {"amazon", "commerce", "orders", "shipments", "reporting", "writes-amazon", "writes-commerce", "read-only"}
TAGS |= {"maintenance"}
WITHOUT_STEP = {"run_complete", "ask_a_person"}  # tasks that only sum up the others, or wait for an answer
TRIGGERED_BY_PEOPLE = {
    "approve_held_writes",
    "backfill_amazon_orders",
    "cancel_amazon_order",
    "check_setup",
    "export_reporting_tables",
    "load_exchange_rates",
    "repair_amazon_order",
    "replay_amazon_orders",
}
# A run may wait for an answer, or for Amazon's quota, for hours.
SIDE_BY_SIDE = {"approve_held_writes", "backfill_amazon_orders"}
# What reading the DAG files may bring in of ours: no client, no table, no engine, no rule for Great Expectations.
LIGHT = {
    "include",
    "include.domain",
    "include.domain.errors",
    "include.settings",
    "include.resources",
    "include.steps",
    "include.connections",
    "include.retry_policy",
}
HEAVY = {"great_expectations", "pandas", "numpy", "alembic", "psycopg", "httpx", "oauthlib", "fastjsonschema"}
HEAVY |= {"pyarrow"}
MOST_LINES = 80
MOST_SECONDS = 2.0


@pytest.fixture(scope="module")
def bag() -> Bag:
    return read_bag()


@pytest.fixture(params=DAG_IDS)
def dag(bag: Bag, request: pytest.FixtureRequest) -> Dag:
    found: Dag = bag.dags[request.param]
    return found


def test_dag_files_are_read_fast_and_without_errors_when_there_is_no_network(bag: Bag) -> None:
    assert bag.import_errors == {}
    assert DAG_IDS, "no DAG file"
    assert sorted(bag.dags) == DAG_IDS
    for name, seconds in bag.seconds.items():
        print(f"{name}: read in {seconds * 1000:.0f} ms")
        assert seconds < MOST_SECONDS


def test_dag_files_bring_in_nothing_heavy_when_read(bag: Bag) -> None:
    assert {name for name in bag.modules if name.split(".")[0] == "include"} == LIGHT
    assert not HEAVY & {name.split(".")[0] for name in bag.modules}


def test_reading_a_dag_file_fails_when_it_uses_the_network(tmp_path: Path) -> None:
    (tmp_path / "curious.py").write_text(
        textwrap.dedent(
            """
            import socket
            from airflow.sdk import dag
            socket.create_connection(("127.0.0.1", 9))
            """
        ),
        encoding="utf-8",
    )
    assert "a socket was used" in "".join(read_bag(tmp_path).import_errors.values())


def test_dag_id_is_that_of_file_and_function_when_compared(dag: Dag) -> None:
    functions = {entry.dag_id for entry in read_dags(CHECKOUT)}
    assert dag.dag_id == dag.file
    assert dag.dag_id in functions


def test_task_ids_are_those_of_the_steps_when_compared(bag: Bag) -> None:
    tasks = {task.task_id for dag in bag.dags.values() for task in dag.tasks}
    steps = {path.stem for path in (CHECKOUT / "include" / "steps").glob("*.py")} - {"__init__"}
    assert tasks - WITHOUT_STEP == steps


def test_documentation_is_complete_when_shown_in_the_ui(dag: Dag) -> None:
    assert re.findall(r"^\*\*(.+?)\*\* — \S", dag.doc or "", re.MULTILINE) == HEADINGS
    (entry,) = [entry for entry in read_dags(CHECKOUT) if entry.dag_id == dag.dag_id]
    assert {task.task_id for task in entry.tasks} == {task.task_id for task in dag.tasks} - WITHOUT_STEP
    assert all(re.match(r"[A-Z].*\.$", task.meaning) for task in entry.tasks)
    # Airflow 3.3 does not hand on the docstrings of mapped tasks.
    shown = {task.task_id for task in dag.tasks if (task.doc or "").endswith(".")}
    assert shown >= {task.task_id for task in entry.tasks if not task.is_mapped}


def test_missed_runs_are_skipped_when_the_scheduler_was_away(dag: Dag) -> None:
    assert dag.catchup is False
    assert (dag.max_active_runs == 1) is (dag.dag_id not in SIDE_BY_SIDE)
    assert "backfill" not in dag.run_types
    assert set(dag.run_types) >= {"scheduled", "manual", "asset_triggered"}
    assert [bool(dag.schedule), bool(dag.triggers), dag.dag_id in TRIGGERED_BY_PEOPLE].count(True) == 1


def test_dag_has_dry_run_when_people_trigger_it(dag: Dag) -> None:
    if dag.dag_id in TRIGGERED_BY_PEOPLE:
        assert dag.params["dry_run"] is (dag.dag_id == "replay_amazon_orders"), (
            "what it changes is to be looked at first"
        )
    else:
        assert set(dag.params) <= {"accounts", "dry_run"}


def test_every_tag_is_allowed_when_compared_with_the_list(dag: Dag) -> None:
    assert dag.tags
    assert set(dag.tags) <= TAGS


def test_task_is_retried_by_our_policy_when_it_fails(dag: Dag) -> None:
    assert dag.tasks
    for task in dag.tasks:
        assert task.retries > 0, task.task_id
        assert task.execution_timeout_seconds, task.task_id
        assert task.retry_policy == "include.retry_policy.OrdersRetryPolicy", task.task_id
        assert task.is_policy_known_to_scheduler, task.task_id


def test_pools_are_those_of_the_pools_file_when_compared(bag: Bag) -> None:
    pools = json.loads((CHECKOUT / "include" / "pools.json").read_text(encoding="utf-8"))
    used = {task.pool for dag in bag.dags.values() for task in dag.tasks} - {"default_pool"}
    assert used == set(pools)
    assert all(pool["slots"] > 0 for pool in pools.values())


def test_tasks_are_split_by_account_when_they_call_another_system(bag: Bag) -> None:
    pooled = [task for dag in bag.dags.values() for task in dag.tasks if task.pool != "default_pool"]
    assert pooled
    assert all(task.is_mapped for task in pooled)


def test_reporting_starts_when_another_dag_has_changed_something(bag: Bag) -> None:
    reporting = bag.dags["orders_to_reporting"]
    emitted = {uri for dag in bag.dags.values() if dag is not reporting for task in dag.tasks for uri in task.outlets}
    assert emitted
    assert set(reporting.triggers) == emitted
    assert reporting.starts_at_any_trigger


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dag_file_is_short_enough_when_its_lines_are_counted(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


THROTTLED = ThrottledError("throttled", timedelta(seconds=77))


def test_task_is_retried_after_the_given_wait_when_throttled() -> None:
    decision = retry_policy.OrdersRetryPolicy(timedelta(seconds=30)).evaluate(THROTTLED, 2, 3)
    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=77))
    assert decision.reason == "throttled"


@pytest.mark.parametrize("error", [UnavailableError, OutcomeUnknownError, RunIncompleteError])
@pytest.mark.parametrize(("try_number", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240)])
def test_task_is_retried_at_doubling_distance_when_the_other_system_is_unavailable(
    error: type[Exception], try_number: int, seconds: int
) -> None:
    decision = retry_policy.OrdersRetryPolicy(timedelta(seconds=30)).evaluate(error("away"), try_number, 4)
    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "error",
    [
        MisconfiguredError("wrong"),
        RefusedError("no", code="400"),
        NotFoundError("no", code="404"),
        MalformedOrderError("odd", ["orderId: required"]),
        OrdersError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_task_fails_at_once_when_only_a_person_can_fix_it(error: Exception) -> None:
    assert retry_policy.OrdersRetryPolicy(timedelta(seconds=30)).evaluate(error, 1, 3).action.value == "fail"


@pytest.mark.parametrize("error", [THROTTLED, UnavailableError("away"), MisconfiguredError("wrong")], ids=repr)
def test_retry_policy_says_nothing_when_no_try_is_left(error: Exception) -> None:
    # Airflow would log a retry that never comes, behind the reason.
    decision = retry_policy.OrdersRetryPolicy(timedelta(seconds=30)).evaluate(error, 4, 3)
    assert (decision.action.value, decision.reason) == ("default", None)


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_retry_is_left_to_airflow_when_the_error_is_not_ours(error: BaseException) -> None:
    decision = retry_policy.OrdersRetryPolicy(timedelta(seconds=30)).evaluate(error, 1, 3)
    assert (decision.action.value, decision.retry_delay) == ("default", None)


def test_retry_policy_decides_the_same_when_serialized_and_read_back(bag: Bag) -> None:
    stored = bag.dags["orders_to_reporting"].tasks[0].retry_policy_values
    policy = retry_policy.OrdersRetryPolicy.deserialize(json.loads(json.dumps(stored)))
    assert policy.retry_delay == timedelta(seconds=30)
    assert policy.evaluate(UnavailableError("away"), 2, 3).retry_delay == timedelta(seconds=60)
