"""A real Airflow API server, served under a path as behind a company's proxy."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import URL

from tests.support.installation import AIRFLOW, CHECKOUT, airflow_url
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.warm_airflow import ForkedProcesses, WarmAirflow

BASE_PATH = "/company/airflow"
PASSWORD = "only-for-this-test"
USERS = {"admin": "admin", "viewer": "viewer"}  # name -> role


@dataclass(frozen=True)
class AirflowServer:
    """Where it answers, and its log file."""

    base_url: str
    log: Path

    def token(self, user: str) -> str:
        """A bearer token of one of USERS."""
        answer = httpx.post(
            f"{self.base_url}/auth/token", json={"username": user, "password": PASSWORD}, trust_env=False, timeout=30
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return token


def server_variables(folder: Path, base_url: str) -> dict[str, str]:
    """The environment of an API server at `base_url`, on this machine, with USERS; their passwords go to `folder`."""
    (folder / ".data").mkdir()
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps(dict.fromkeys(USERS, PASSWORD)), encoding="utf-8")
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(urlsplit(base_url).port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__SECRET_KEY": "a-secret-key-for-this-test-only-0123456789",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-jwt-secret-for-this-test-only-0123456789-0123456789-0123456789",
    }


@contextmanager
def running_airflow(airflow: WarmAirflow, metadata: URL, variables: Mapping[str, str]) -> Iterator[AirflowServer]:
    """An API server with the metadata database `metadata`. `variables` join its environment."""
    folder = Path(tempfile.mkdtemp(prefix="orders-airflow-"))
    (folder / "dags").mkdir()
    base_url = f"http://127.0.0.1:{free_port()}{BASE_PATH}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS_"))}
    environment = kept | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url(metadata),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **server_variables(folder, base_url),
        "PYTHONPATH": str(CHECKOUT),
        **variables,
    }
    try:
        with ForkedProcesses(airflow, folder, environment) as processes:
            processes.start("api-server", AIRFLOW, "api-server")
            processes.wait_until_answering("api-server", f"{base_url}/api/v2/monitor/health", PATIENCE_SECONDS)
            yield AirflowServer(base_url, processes.log_of("api-server"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
