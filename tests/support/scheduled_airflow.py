"""A real Airflow with scheduler, DAG processor and API server on a merchant's installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

from local.airflow_api import AirflowApi
from local.processes import LocalProcesses
from tests.support.installation import AIRFLOW, CHECKOUT, ORDERS, REPORTING, SHIPMENTS, Installation
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS


class Quiet:
    """Nobody listens to how the runs go on."""

    def __call__(self, text: str) -> None:
        """Something has ended."""

    def passing(self, text: str) -> None:
        """Something goes on."""


@contextmanager
def scheduled(installation: Installation) -> Iterator[AirflowApi]:
    """Airflow with scheduler, DAG processor and API server, as `make up` runs it; ended at the end.

    Without schedules, unless the installation's settings have one.
    """
    folder = installation.folder
    (folder / ".data").mkdir()
    (folder / "passwords.json").write_text('{"admin": "only-for-this-test"}', encoding="utf-8")
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    without_schedules = {"ORDERS_SYNC_SCHEDULE": "off", "ORDERS_SHIPMENT_SCHEDULE": "off"}
    variables = (
        without_schedules
        | installation.variables()
        | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": base_url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": "a-secret-key-for-this-test-only-0123456789",
            "AIRFLOW__API_AUTH__JWT_SECRET": "a-jwt-secret-for-this-test-only-0123456789-0123456789-0123456789",
        }
    )
    with LocalProcesses(folder, variables) as processes:
        for name in ("api-server", "scheduler", "dag-processor"):
            processes.start(name, AIRFLOW, name, *(["--skip-serve-logs"] if name == "scheduler" else []))
        processes.wait_until_answering("api-server", f"{base_url}/api/v2/monitor/health", PATIENCE_SECONDS)
        api = AirflowApi(base_url, "admin", "only-for-this-test", Quiet())
        with closing(api._client) as client:  # elsewhere it lives as long as its process
            client.timeout = PATIENCE_SECONDS
            api.add_pools(json.loads((CHECKOUT / "include" / "pools.json").read_text(encoding="utf-8")))
            api.wait_for_dags((ORDERS, SHIPMENTS, REPORTING), PATIENCE_SECONDS)
            for dag_id in (ORDERS, SHIPMENTS, REPORTING):
                api.set_paused(dag_id, False)
            yield api
