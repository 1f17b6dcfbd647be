"""The story that `make demo` and `make up` play once per data folder: what happens when, and how far it has got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from local import environment
from local.airflow_api import AirflowApi
from local.sandbox.scenario import ADDRESS_TO_CORRECT, order_id

ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
PURGE, REPAIR = "purge_operational_history", "repair_amazon_order"
RUN_SECONDS = 240

# The sandbox's clock starts so many minutes in the past and ends at real time, so that nothing in Recent Orders
# happens in the future. What the sandbox does after 10 to 25 minutes is then over.
STARTS_MINUTES_AGO = 32


@dataclass(frozen=True)
class Run:
    """One run of a DAG, with params that differ from its defaults."""

    dag_id: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Set the sandbox's clock to so many minutes before real time, then run the DAGs side by side."""

    minutes_ago: int
    runs: tuple[Run, ...]


CORRECT_ADDRESS = {
    "amazon_order_id": order_id(ADDRESS_TO_CORRECT),
    "action": "correct",
    "address": {"city": "Seattle"},
    "comment": "The postcode belongs to this city.",
}
STEPS = (
    Step(STARTS_MINUTES_AGO, (Run(ORDERS),)),  # creates the first orders; the warehouse ships some of them
    # Sends their packages to Amazon. New orders have arrived, Amazon has canceled what is in the shop, and a person
    # corrects an address; a dry run says what follows from it.
    Step(11, (Run(REPAIR, CORRECT_ADDRESS), Run(ORDERS, {"dry_run": True}), Run(SHIPMENTS))),
    # Eight minutes later Amazon shows the packages, and two blocked orders have been fixed. What the dry run announced
    # is done.
    Step(3, (Run(ORDERS), Run(SHIPMENTS))),
    Step(0, (Run(ORDERS),)),  # sees for the second time what was shipped: these orders are Completed
)


def steps_done(checkout: Path) -> int:
    """How many of STEPS have been played with the local data of `checkout`."""
    return int(environment.read_json(_path(checkout)).get("steps_done", 0))


def play(checkout: Path, api: AirflowApi, amazon: str, first: int) -> None:
    """Play STEPS from number `first` on. The DAGs must have no schedule. An interrupted step can be played again.

    Raises AirflowApiError, DagRunFailedError and httpx.HTTPError. `amazon` is the address of the sandbox's Amazon.
    """
    api.wait_for_dags((ORDERS, SHIPMENTS, REPAIR, REPORTING))
    for dag_id in (ORDERS, SHIPMENTS, REPAIR):
        api.set_paused(dag_id, False)
    api.set_paused(REPORTING, True)
    for number, step in enumerate(STEPS[first:], first + 1):
        is_last = number == len(STEPS)
        if is_last:
            api.set_paused(REPORTING, False)  # one refresh, after the last run, is enough
        _set_clock(amazon, step.minutes_ago)
        runs = [(run.dag_id, api.trigger(run.dag_id, run.params)) for run in step.runs]
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
