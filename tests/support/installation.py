"""One merchant's installation with real Airflow: both databases, Airflow's home and its commands, the local servers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.fernet import Fernet
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from include.adapters.personal_data import PersonalDataCipher
from local import postgres
from local.environment import airflow_connections
from local.sandbox.seeds import Scenario
from local.sandbox.servers import Sandbox
from tests.support.orders import seed
from tests.support.warm_airflow import WarmAirflow

CHECKOUT = Path(__file__).parents[2]
ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
# The sandbox's clock is moved on; what waits by the wall clock waits as briefly as it can.
SHORT_WAITS = {
    "ORDERS_WINDOW_MINIMUM_SECONDS": "0",
    "ORDERS_SHIPMENT_VERIFY_GAP_SECONDS": "0",
    "ORDERS_FEED_POLL_GAP_SECONDS": "0",
    "ORDERS_RETRY_DELAY_SECONDS": "1",
    "ORDERS_RATE_LIMIT_MAX_WAIT_SECONDS": "0",
}
AIRFLOW = str(Path(sys.executable).with_name("airflow"))


@dataclass(frozen=True)
class TaskRun:
    """One task of a DAG run; `account` is the label of a mapped one. `tries` counts those that ended, too."""

    task_id: str
    account: str | None
    state: str
    tries: int


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG and all that its process printed."""

    run_id: str
    state: str
    output: str
    tasks: list[TaskRun]

    def task(self, task_id: str, account: str | None = None) -> TaskRun:
        """The one task with that name, of that account if it is mapped."""
        (found,) = [task for task in self.tasks if (task.task_id, task.account) == (task_id, account)]
        return found


@dataclass
class Installation:
    """Everything that belongs to it. `orders_url` and `metadata_url` are the databases as their superuser."""

    folder: Path
    orders_url: URL
    metadata_url: URL
    sandbox: Sandbox
    airflow: WarmAirflow
    pii_key: str = field(default_factory=lambda: Fernet.generate_key().decode(), repr=False)
    connections: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    settings: dict[str, str] = field(default_factory=lambda: dict(SHORT_WAITS))

    def variables(self) -> dict[str, str]:
        """The environment of every process of Airflow, without anything that the tests' own environment sets."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS_"))}
        connections = {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in self.connections.items()
        }
        airflow = {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url(self.metadata_url),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(CHECKOUT),
            "GX_ANALYTICS_ENABLED": "false",
            "NO_COLOR": "1",
        }
        return kept | airflow | connections | self.settings | {"ORDERS_PII_KEYS": self.pii_key}

    def buy(self, order_id: str, lines: dict[str, int] | None = None, **options: Any) -> None:
        """A buyer orders on Amazon now, by the sandbox's clock."""
        self.sandbox.amazon.add_order(seed(order_id, lines, at=self.sandbox.clock.now(), **options))

    def dags_test(self, dag_id: str) -> DagRun:
        """Run a DAG once with the command `airflow dags test`."""
        with self.console() as dags_test:
            return dags_test(dag_id)

    @contextmanager
    def console(self) -> Iterator[Callable[..., DagRun]]:
        """The same command for many runs in one process."""
        with self.airflow.console(self.folder, self.variables()) as run:

            def dags_test(dag_id: str, **params: Any) -> DagRun:
                known = self._run_ids(dag_id)
                ended = run("dags", "test", dag_id, *(("--conf", json.dumps(params)) if params else ()))
                found = self._run(dag_id, known, ended.output)
                assert (ended.status == 0) == (found.state == "success"), ended.output[-3000:]
                return found

            yield dags_test

    def command(self, *arguments: str) -> None:
        """Run another of Airflow's commands, which must succeed."""
        with self.airflow.console(self.folder, self.variables()) as run:
            ended = run(*arguments)
        assert ended.status == 0, ended.output[-3000:]

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        """The tasks of a run, in the order in which they began."""
        rows = self.airflow_rows(
            "select task_id, rendered_map_index, state, try_number from task_instance"
            " where dag_id = :dag_id and run_id = :run_id order by start_date, task_id, map_index",
            dag_id=dag_id,
            run_id=run_id,
        )
        return [TaskRun(row.task_id, row.rendered_map_index, row.state, row.try_number) for row in rows]

    def _run_ids(self, dag_id: str) -> set[str]:
        return {row.run_id for row in self.airflow_rows("select run_id from dag_run where dag_id = :id", id=dag_id)}

    def _run(self, dag_id: str, known: set[str], output: str) -> DagRun:
        new = self._run_ids(dag_id) - known
        assert len(new) == 1, output[-3000:]
        (run_id,) = new
        (row,) = self.airflow_rows(
            "select state from dag_run where dag_id = :dag_id and run_id = :run_id", dag_id=dag_id, run_id=run_id
        )
        return DagRun(run_id, row.state, output, self.tasks(dag_id, run_id))

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """The rows of a query on the orders database, as superuser."""
        return _rows(self.orders_url, statement, values)

    def airflow_rows(self, statement: str, **values: Any) -> list[Any]:
        """The rows of a query on Airflow's metadata database."""
        return _rows(self.metadata_url, statement, values)

    def cipher(self) -> PersonalDataCipher:
        """What opens this installation's personal data."""
        return PersonalDataCipher([self.pii_key])


def _rows(url: URL, statement: str, values: Mapping[str, Any]) -> list[Any]:
    with _engine(url).connect() as connection:
        return list(connection.execute(text(statement), values))


def _engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def airflow_url(url: URL) -> str:
    """The same database in the form that both of Airflow's drivers take, as Airflow's own role."""
    return f"postgresql+psycopg://airflow@/{url.database}?host={quote(str(url.query['host']), safe='')}"


def superuser_engine(server: postgres.ServerAddress) -> Engine:
    """The tests' server, to create databases in."""
    return _engine(superuser_url(server, "postgres"))


def superuser_url(server: postgres.ServerAddress, database: str) -> URL:
    """A database of the tests' server, as superuser."""
    return URL.create(
        "postgresql+psycopg",
        username=postgres.SUPERUSER,
        database=database,
        query={"host": str(server.socket_dir)},
    )


@contextmanager
def copied_database(server: postgres.ServerAddress, template: str, name: str) -> Iterator[URL]:
    """A copy of the database `template`, with its owner, dropped at the end."""
    admin = superuser_engine(server)
    with admin.connect() as connection:
        owner = connection.execute(
            text("select pg_get_userbyid(datdba) from pg_database where datname = :name"), {"name": template}
        ).scalar_one()
        connection.execute(text(f'create database "{name}" template "{template}" owner "{owner}" strategy file_copy'))
    try:
        yield superuser_url(server, name)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'drop database "{name}" with (force)'))


def connections_to(sandbox: Sandbox, story: Scenario, orders_url: URL) -> dict[str, dict[str, Any]]:
    """The Airflow connections of an installation whose Amazon and shop are the sandbox, playing `story`."""
    connections = airflow_connections(story, sandbox.amazon_url, sandbox.commerce_url)
    for name, role in (("orders_db", "orders_rw"), ("orders_db_ui", "orders_ui")):
        connections[name] = {
            "conn_type": "postgres",
            "host": orders_url.query["host"],
            "login": role,
            "schema": orders_url.database,
        }
    return connections


def migrate_airflow(airflow: WarmAirflow, folder: Path, database: URL) -> None:
    """Create Airflow's tables in an empty database."""
    environment = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url(database),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": os.environ["PATH"],
    }
    with airflow.console(folder, environment) as run:
        ended = run("db", "migrate")
    assert ended.status == 0, ended.output[-3000:]
