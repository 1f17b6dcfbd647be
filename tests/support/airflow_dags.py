"""The one place of the tests that knows where Airflow keeps its DAG bag and serialization; both move between releases.

The DAG files are read as the dag processor does it, in a process of its own, but without any network: what comes back
are plain facts. What imports Airflow is imported here, without leaving an `airflow` folder in somebody's home.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]

# Removed when the tests' process ends.
_home = tempfile.TemporaryDirectory(prefix="orders-airflow-home-")
with pytest.MonkeyPatch.context() as _environment:
    _environment.setenv("AIRFLOW_HOME", _home.name)
    from include import connections as connections
    from include import resources as resources
    from include import retry_policy as retry_policy


@contextmanager
def in_task(
    task_id: str,
    *,
    account_name: str | None = None,
    map_index: int = -1,
    schedule: str | None = None,
    last: str = "",
    **params: object,
) -> Iterator[None]:
    """As if the task ran in the run `run` of the DAG `test`; `last` is the task after it, if it has one.

    The DAG has the params `accounts` and `dry_run`; the run was triggered with `params`.
    """
    from airflow.sdk import DAG
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.execution_time.context import set_current_context

    with DAG("test", schedule=schedule, params={"accounts": None, "dry_run": False}) as dag:
        task: Any = BaseOperator(task_id=task_id)
        if last:
            task >> BaseOperator(task_id=last)
    task.op_kwargs = {"account_name": account_name} if account_name else {}
    context: Any = {
        "dag": dag,
        "task": task,
        "ti": SimpleNamespace(task_id=task_id, map_index=map_index),
        "run_id": "run",
        "dag_run": SimpleNamespace(conf=params),
        "params": params,
    }
    with set_current_context(context):
        yield


@dataclass(frozen=True)
class Task:
    """One task of a DAG. `retry_policy` is module.Class, its values are what the class serializes."""

    task_id: str
    pool: str
    retries: int
    execution_timeout_seconds: float | None
    retry_policy: str | None
    retry_policy_values: dict[str, int]
    is_policy_known_to_scheduler: bool
    is_mapped: bool
    doc: str | None
    outlets: list[str]


@dataclass(frozen=True)
class Dag:
    """One DAG. `triggers` are the URIs of assets that start it, `schedule` is a cron text, `params` the defaults."""

    dag_id: str
    file: str
    doc: str | None
    catchup: bool
    max_active_runs: int
    run_types: list[str]
    tags: list[str]
    schedule: str | None
    params: dict[str, Any]
    triggers: list[str]
    starts_at_any_trigger: bool
    tasks: list[Task]


@dataclass(frozen=True)
class Bag:
    """What a process knows after it has read a folder of DAG files. `modules` are those that the files brought in."""

    import_errors: dict[str, str]
    seconds: dict[str, float]
    modules: list[str]
    dags: dict[str, Dag]


def read_bag(folder: Path = CHECKOUT / "dags") -> Bag:
    """Read the DAG files of `folder` in a new process in which every use of a socket fails."""
    with tempfile.TemporaryDirectory() as home:
        answer = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(folder)],
            env={"AIRFLOW_HOME": home, "PYTHONPATH": str(CHECKOUT), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert answer.returncode == 0, answer.stderr[-3000:]
    facts = json.loads(answer.stdout.splitlines()[-1])
    dags = {
        dag_id: Dag(**{**dag, "tasks": [Task(**task) for task in dag["tasks"]]})
        for dag_id, dag in facts.pop("dags").items()
    }
    return Bag(dags=dags, **facts)


_SCRIPT = """
import json, socket, sys
from pathlib import Path

# What every DAG file needs of Airflow is not on its account.
from airflow.dag_processing.dagbag import DagBag
import airflow.providers.standard.operators.empty
import airflow.sdk
from airflow.sdk import AssetAny
from airflow.serialization.serialized_objects import DagSerialization

def refuse(*_, **__):
    raise AssertionError("a socket was used while a DAG file was read")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse

before = set(sys.modules)
bag = DagBag(sys.argv[1])
modules = sorted(set(sys.modules) - before)

def task_facts(task, known):
    # A mapped task keeps its arguments apart until it is expanded.
    values = getattr(task, "partial_kwargs", None) or vars(task)
    policy = values.get("retry_policy")
    timeout = task.execution_timeout
    return {
        "task_id": task.task_id,
        "pool": task.pool,
        "retries": task.retries,
        "execution_timeout_seconds": timeout.total_seconds() if timeout else None,
        "retry_policy": f"{type(policy).__module__}.{type(policy).__name__}" if policy else None,
        "retry_policy_values": policy.serialize() if policy else {},
        "is_policy_known_to_scheduler": bool(known.has_retry_policy),
        "is_mapped": task.is_mapped,
        "doc": task.doc_md,
        "outlets": [asset.uri for asset in task.outlets],
    }

def dag_facts(dag):
    # As text, because it lies in the database as such.
    known = DagSerialization.deserialize_dag(json.loads(json.dumps(DagSerialization.serialize_dag(dag))))
    assets = getattr(dag.timetable, "asset_condition", None)
    return {
        "dag_id": dag.dag_id,
        "file": Path(dag.fileloc).stem,
        "doc": dag.doc_md,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "run_types": sorted(known.allowed_run_types),
        "tags": sorted(dag.tags),
        "schedule": getattr(dag.timetable, "expression", None),
        "params": dag.params.dump(),
        "triggers": [asset.uri for asset in assets.objects] if assets else [],
        "starts_at_any_trigger": isinstance(assets, AssetAny),
        "tasks": [task_facts(task, known.get_task(task.task_id)) for task in dag.tasks],
    }

print(json.dumps({
    "import_errors": bag.import_errors,
    "seconds": {Path(stat.file).stem: stat.duration.total_seconds() for stat in bag.dagbag_stats},
    "modules": modules,
    "dags": {dag_id: dag_facts(dag) for dag_id, dag in bag.dags.items()},
}))
"""
