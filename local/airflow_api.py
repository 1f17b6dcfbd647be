"""The few calls of Airflow's REST API that start DAG runs from outside and follow their progress."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

FINISHED = frozenset({"success", "failed"})
# States in which a task has come to its end.
_DONE = frozenset({"success", "skipped", "failed", "upstream_failed", "removed"})


class AirflowApiError(RuntimeError):
    """Airflow refused a request, or did not carry it out in time."""


@dataclass(frozen=True)
class FailedTask:
    """A task instance that failed; `map_index` is -1 for one that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    def log_file(self) -> str:
        """Its log below Airflow's log folder (Airflow's default `log_filename_template`)."""
        mapped = f"map_index={self.map_index}/" if self.map_index >= 0 else ""
        return f"dag_id={self.dag_id}/run_id={self.run_id}/task_id={self.task_id}/{mapped}attempt={self.try_number}.log"


class DagRunFailedError(AirflowApiError):
    """A DAG run failed; `tasks` are its failed task instances."""

    def __init__(self, dag_id: str, run_id: str, tasks: list[FailedTask]) -> None:
        names = ", ".join(dict.fromkeys(task.task_id for task in tasks)) or "none"
        super().__init__(f"The DAG {dag_id} failed (run {run_id}; failed tasks: {names}).")
        self.tasks = tasks


class Listener(Protocol):
    """Receives progress as short texts for people."""

    def __call__(self, text: str) -> None:
        """Report something that has finished."""

    def passing(self, text: str) -> None:
        """Report something that is going on; the next text may replace this one."""


class AirflowApi:
    """A signed-in client of the API server at `base_url`, without proxies. Reports how runs go on to `progress`."""

    def __init__(self, base_url: str, user: str, password: str, progress: Listener) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        self._progress = progress
        answer = self._client.post("/auth/token", json={"username": user, "password": password})
        if answer.status_code != 201:
            raise AirflowApiError(f"Airflow refused the sign-in of {user} (status {answer.status_code}).")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def wait_for_dags(self, dag_ids: tuple[str, ...], seconds: float = 120) -> None:
        """Wait until Airflow knows all of `dag_ids`. Raises AirflowApiError with the import errors if there are any."""
        deadline = time.monotonic() + seconds
        while True:
            known = {dag["dag_id"] for dag in self._get("/api/v2/dags", limit=100, exclude_stale=True)["dags"]}
            if known.issuperset(dag_ids):
                return
            errors = self._get("/api/v2/importErrors")["import_errors"]
            if errors:
                raise AirflowApiError(f"{errors[0]['filename']} cannot be imported:\n{errors[0]['stack_trace']}")
            if time.monotonic() > deadline:
                missing = ", ".join(sorted(set(dag_ids) - known))
                raise AirflowApiError(f"Airflow has not found the DAGs {missing} within {seconds:.0f} seconds.")
            time.sleep(0.5)

    def wait_until_healthy(self, components: tuple[str, ...], seconds: float = 120) -> None:
        """Wait until `components` (scheduler, dag_processor) have reported to Airflow. Raises AirflowApiError."""
        deadline = time.monotonic() + seconds
        while True:
            health = self._get("/api/v2/monitor/health")
            ailing = [name for name in components if health[name]["status"] != "healthy"]
            if not ailing:
                return
            if time.monotonic() > deadline:
                raise AirflowApiError(f"Not healthy within {seconds:.0f} seconds: {', '.join(ailing)}.")
            time.sleep(0.5)

    def add_pools(self, pools: Mapping[str, Mapping[str, Any]]) -> None:
        """Create pools, given as in a file for `airflow pools import`. Existing ones are left unchanged."""
        known = {pool["name"] for pool in self._send("GET", "/api/v2/pools")["pools"]}
        for name, pool in pools.items():
            if name not in known:
                self._send("POST", "/api/v2/pools", {"name": name, **pool})

    def set_paused(self, dag_id: str, is_paused: bool) -> None:
        """Pause or unpause a DAG. The runs of a paused DAG wait, manually triggered ones included."""
        self._send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": is_paused})

    def trigger(self, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
        """Create a run of `dag_id` and return its id. It waits while the DAG is paused or has another run."""
        body = {"logical_date": None, "conf": dict(params or {})}
        run_id: str = self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return run_id

    def run(self, dag_id: str, seconds: float) -> str:
        """Trigger `dag_id`, wait for the end of the run and return its id. Raises as `wait_for_run` does."""
        run_id = self.trigger(dag_id)
        self.wait_for_run(dag_id, run_id, seconds)
        return run_id

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float) -> None:
        """Wait for the end of a run. Raises DagRunFailedError, or AirflowApiError if it takes longer than `seconds`."""
        started = time.monotonic()
        for look in itertools.count():
            run = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
            state, name = run["state"], f"{dag_id} (dry run)" if (run["conf"] or {}).get("dry_run") else dag_id
            elapsed = time.monotonic() - started
            # The API server has the tasks to serve, too: only every fourth look asks for details.
            if state not in FINISHED and elapsed <= seconds and look % 4:
                time.sleep(0.5)
                continue
            tasks = self._tasks(dag_id, run_id)
            summary = _summary(state, tasks)
            if state in FINISHED:
                self._progress(f"{name}: {summary} in {run['duration']:.0f} s")
                break
            self._progress.passing(f"{name}: {summary} ({elapsed:.0f} s)")
            if elapsed > seconds:
                raise AirflowApiError(
                    f"The DAG {dag_id} (run {run_id}) has not finished within {seconds:.0f} seconds: {summary}."
                )
            time.sleep(0.5)
        if state == "failed":
            raise DagRunFailedError(
                dag_id,
                run_id,
                [
                    FailedTask(dag_id, run_id, task["task_id"], task["map_index"], task["try_number"])
                    for task in tasks
                    if task["state"] == "failed"
                ],
            )

    def wait_for_triggered(self, source_dag_id: str, source_run_id: str, dag_id: str, seconds: float) -> None:
        """Wait for the runs of `dag_id` that another, finished run has triggered by changing assets, if it has.

        Raises as `wait_for_run` does.
        """
        assets = self._get("/api/v2/assets", dag_ids=dag_id, limit=100)["assets"]
        awaited = {asset["id"] for asset in assets if any(dag["dag_id"] == dag_id for dag in asset["scheduled_dags"])}
        deadline = time.monotonic() + seconds
        filters = {"source_dag_id": source_dag_id, "source_run_id": source_run_id, "limit": 100}
        while True:
            events = self._get("/api/v2/assets/events", **filters)["asset_events"]
            # Several events can trigger one run, and an early event can have its run before the last event arrives.
            answers = [
                {run["run_id"] for run in event["created_dagruns"] if run["dag_id"] == dag_id}
                for event in events
                if event["asset_id"] in awaited
            ]
            if all(answers):
                break
            if time.monotonic() > deadline:
                raise AirflowApiError(f"The DAG {source_dag_id} (run {source_run_id}) has not triggered {dag_id}.")
            time.sleep(0.5)
        for run_id in sorted(set().union(*answers)):
            self.wait_for_run(dag_id, run_id, seconds)

    def _tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        while True:
            page = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100, offset=len(tasks))
            tasks += page["task_instances"]
            if len(tasks) >= page["total_entries"] or not page["task_instances"]:
                return tasks

    def _get(self, path: str, **parameters: Any) -> Any:
        return self._checked(self._client.get(path, params=parameters))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._checked(self._client.request(method, path, json=body))

    @staticmethod
    def _checked(answer: httpx.Response) -> Any:
        if not answer.is_success:
            request = answer.request
            raise AirflowApiError(
                f"Airflow answered {request.method} {request.url.path} with status {answer.status_code}."
            )
        return answer.json()


def _summary(state: str, tasks: list[dict[str, Any]]) -> str:
    done = sum(task["state"] in _DONE for task in tasks)
    busy = Counter(task["task_id"] for task in tasks if task["state"] == "running")
    again = sorted({task["task_id"] for task in tasks if task["state"] == "up_for_retry"})
    noun = "task" if len(tasks) == 1 else "tasks"
    parts = [state, f"{done} of {len(tasks)} {noun} done"]
    if busy:
        names = (name if count == 1 else f"{name} x {count}" for name, count in sorted(busy.items()))
        parts.append("running " + ", ".join(names))
    if again:
        parts.append("waiting to retry " + ", ".join(again))
    return ", ".join(parts)
