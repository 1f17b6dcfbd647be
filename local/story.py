"""The story that `make demo` and `make up` play once per data folder: what happens when, and how far it has got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from local import environment
from local.airflow_api import AirflowApi

ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
PURGE = "purge_operational_history"
RUN_SECONDS = 240

# The sandbox's clock starts so many minutes in the past and ends at real time, so that nothing in Recent Orders
# happens in the future. What the sandbox does after 10 to 25 minutes is then over.
STARTS_MINUTES_AGO = 32


@dataclass(frozen=True)
class Step:
    """Set the sandbox's clock to so many minutes before real time, then run the DAGs side by side."""

    minutes_ago: int
    dag_ids: tuple[str, ...]


STEPS = (
    Step(STARTS_MINUTES_AGO, (ORDERS,)),  # creates the first orders; the warehouse ships some of them
    Step(11, (SHIPMENTS,)),  # sends their packages to Amazon
    # Eight minutes later Amazon shows the packages, new orders have arrived, and two blocked orders have been fixed.
    Step(3, (ORDERS, SHIPMENTS)),
    Step(0, (ORDERS,)),  # sees for the second time what was shipped: these orders are Completed
)


def steps_done(checkout: Path) -> int:
    """How many of STEPS have been played with the local data of `checkout`."""
    return int(environment.read_json(_path(checkout)).get("steps_done", 0))


def play(checkout: Path, api: AirflowApi, amazon: str, first: int) -> None:
    """Play STEPS from number `first` on. The DAGs must have no schedule. An interrupted step can be played again.

    Raises AirflowApiError, DagRunFailedError and httpx.HTTPError. `amazon` is the address of the sandbox's Amazon.
    """
    api.wait_for_dags((ORDERS, SHIPMENTS, REPORTING))
    for dag_id in (ORDERS, SHIPMENTS):
        api.set_paused(dag_id, False)
    api.set_paused(REPORTING, True)
    for number, step in enumerate(STEPS[first:], first + 1):
        is_last = number == len(STEPS)
        if is_last:
            api.set_paused(REPORTING, False)  # one refresh, after the last run, is enough
        _set_clock(amazon, step.minutes_ago)
        runs = [(dag_id, api.trigger(dag_id)) for dag_id in step.dag_ids]
        for dag_id, run_id in runs:
            api.wait_for_run(dag_id, run_id, RUN_SECONDS)
        if is_last:
            for dag_id, run_id in runs:
                api.wait_for_triggered(dag_id, run_id, REPORTING, RUN_SECONDS)
        environment.write_json(_path(checkout), {"steps_done": number})


def turn_on(checkout: Path, api: AirflowApi) -> None:
    """After the story, once: unpause every DAG. Later on, whoever pauses a DAG finds it paused."""
    progress = environment.read_json(_path(checkout))
    if not progress.get("is_turned_on"):
        for dag_id in (ORDERS, SHIPMENTS, REPORTING, PURGE):
            api.set_paused(dag_id, False)
        environment.write_json(_path(checkout), {**progress, "is_turned_on": True})


def _set_clock(amazon: str, minutes_ago: int) -> None:
    """Advance the sandbox's clock to so many minutes before real time, unless it is there already."""
    with httpx.Client(base_url=amazon, timeout=30, trust_env=False) as client:
        shown = client.get("/sandbox/clock").raise_for_status().json()["now"]
        wanted = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        missing = (wanted - datetime.fromisoformat(shown)).total_seconds()
        if missing > 0:
            client.post("/sandbox/clock", json={"advance_seconds": missing}).raise_for_status()


def _path(checkout: Path) -> Path:
    return environment.data_dir(checkout) / "story.json"
