"""How long the orders' DAG takes in a real scheduler: with nothing new, and with 100 unchanged blocked orders."""

from __future__ import annotations

import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import Figure
from local import environment, postgres
from local.airflow_api import AirflowApi
from local.demo import Progress
from local.processes import LocalProcesses
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.installation import AIRFLOW, ORDERS, Installation, connections_to, superuser_url
from tests.support.orders import order_id
from tests.support.ports import free_port
from tests.support.warm_airflow import warm_airflow

BLOCKED, ROUNDS = 100, 5


def measure(orders: int) -> list[Figure]:
    """Run the DAG in Airflow with a LocalExecutor; `orders` does not matter. Two figures, in seconds."""
    story = build(datetime.now(UTC)).without_orders()
    folder = Path(tempfile.mkdtemp(prefix="orders-bench-"))
    folder.chmod(0o755)
    (folder / ".data").mkdir()
    address = postgres.start(folder / "postgres", durable=False)
    try:
        with Sandbox(story, enforce_rate_limits=False) as sandbox, warm_airflow() as airflow:
            orders_url, metadata_url = (superuser_url(address, name) for name in ("orders", "airflow"))
            connections = connections_to(sandbox, story, orders_url)
            installation = Installation(folder, orders_url, metadata_url, sandbox, airflow, connections=connections)
            return _measure(installation, folder)
    finally:
        postgres.remove(folder / "postgres")


def _measure(installation: Installation, folder: Path) -> list[Figure]:
    base_url = f"http://127.0.0.1:{free_port()}"
    host = str(installation.orders_url.query["host"])
    variables = installation.variables() | {
        "AIRFLOW__API__PORT": base_url.rpartition(":")[2],
        "ORDERS_SYNC_SCHEDULE": "off",
        "ORDERS_DB_ADMIN_URL": f"postgresql+psycopg://postgres@/orders?host={host}",
    }
    with LocalProcesses(folder, variables | environment.compute(folder, variables)) as processes:
        python = str(Path(AIRFLOW).with_name("python"))
        processes.start("migrate-orders", python, "-m", "include.database", "migrate")
        processes.start("migrate-airflow", AIRFLOW, "db", "migrate")
        processes.finish("migrate-orders")
        processes.finish("migrate-airflow")
        for command in (("api-server",), ("scheduler", "--skip-serve-logs"), ("dag-processor",)):
            processes.start(command[0], AIRFLOW, *command)
        processes.wait_until_answering("api-server", f"{base_url}/api/v2/monitor/health")
        api = AirflowApi(base_url, *environment.sign_in(folder), Progress())
        api.add_pools({name: {"slots": 4} for name in ("amazon_search_orders", "commerce_writes")})
        api.wait_for_dags((ORDERS,))
        api.set_paused(ORDERS, False)
        nothing = _median(installation, api)
        for number in range(1, BLOCKED + 1):
            installation.buy(order_id(number), {"NOT-IN-THE-CATALOG": 1})
        installation.sandbox.clock.advance(timedelta(minutes=10))
        api.run(ORDERS, 240)
        blocked = _median(installation, api)
    (count,) = installation.rows("select count(*) from core.orders where pipeline_state = 'blocked'")[0]
    if count != BLOCKED:
        raise SystemExit(f"{BLOCKED} orders were to be blocked, {count} are")
    return [
        Figure(f"{ORDERS} in a real scheduler, nothing new", nothing, "s", 5),
        Figure(f"{ORDERS} in a real scheduler, {BLOCKED} unchanged blocked orders", blocked, "s", 5),
    ]


def _median(installation: Installation, api: AirflowApi) -> float:
    """The median duration of a few runs, after one that warms up, in seconds, as Airflow recorded it."""
    api.run(ORDERS, 240)
    seconds = []
    for _ in range(ROUNDS):
        run_id = api.run(ORDERS, 240)
        (row,) = installation.airflow_rows(
            "select extract(epoch from end_date - start_date) as seconds from dag_run where run_id = :id", id=run_id
        )
        seconds.append(float(row.seconds))
    return round(statistics.median(seconds), 2)
