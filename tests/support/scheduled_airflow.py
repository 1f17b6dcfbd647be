"""A real Airflow with scheduler, DAG processor and API server on a merchant's installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

from local.airflow_api import AirflowApi
from tests.support.airflow_server import PASSWORD, server_variables
from tests.support.installation import AIRFLOW, CHECKOUT, ORDERS, REPORTING, SHIPMENTS, Installation
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.warm_airflow import ForkedProcesses


class Quiet:
    """Nobody listens to how the runs go on."""

    def __call__(self, text: str) -> None:
        """Something has ended."""

    def passing(self, text: str) -> None:
        """Something goes on."""


@contextmanager
def sign_in(base_url: str) -> Iterator[AirflowApi]:
    """A patient client of an API server with `server_variables`, signed in as admin."""
    api = AirflowApi(base_url, "admin", PASSWORD, Quiet())
    with closing(api._client) as client:  # elsewhere it lives as long as its process
        client.timeout = PATIENCE_SECONDS
        yield api


@contextmanager
def scheduled(installation: Installation) -> Iterator[AirflowApi]:
    """Airflow with scheduler, DAG processor and API server, as `make up` runs it; ended at the end.

    Without schedules, unless the installation's settings have one.
    """
    folder, base_url = installation.folder, f"http://127.0.0.1:{free_port()}"
    without_schedules = {"ORDERS_SYNC_SCHEDULE": "off", "ORDERS_SHIPMENT_SCHEDULE": "off"}
    executor = {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}
    variables = without_schedules | installation.variables() | executor | server_variables(folder, base_url)
    with ForkedProcesses(installation.airflow, folder, variables) as processes:
        for name in ("api-server", "scheduler", "dag-processor"):
            processes.start(name, AIRFLOW, name, *(["--skip-serve-logs"] if name == "scheduler" else []))
        processes.wait_until_answering("api-server", f"{base_url}/api/v2/monitor/health", PATIENCE_SECONDS)
        with sign_in(base_url) as api:
            api.add_pools(json.loads((CHECKOUT / "include" / "pools.json").read_text(encoding="utf-8")))
            api.wait_for_dags((ORDERS, SHIPMENTS, REPORTING), PATIENCE_SECONDS)
            for dag_id in (ORDERS, SHIPMENTS, REPORTING):
                api.set_paused(dag_id, False)
            yield api
