"""The stack of docker-compose.yaml without Docker: two schedulers, two Celery workers, Redis and PostgreSQL.

A worker, a scheduler and Redis are killed while an order is being created. Every order is created once all the same.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psutil
import yaml

from local.airflow_api import AirflowApi
from local.processes import LocalProcesses
from local.sandbox.faults import Fault
from tests.support.airflow_server import server_variables
from tests.support.installation import AIRFLOW, CHECKOUT, ORDERS, Installation
from tests.support.orders import order_id
from tests.support.ports import free_port
from tests.support.scheduled_airflow import sign_in
from tests.support.waiting import PATIENCE_SECONDS, SLOW_SECONDS, wait_until
from tests.support.warm_airflow import ForkedProcesses

COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text(encoding="utf-8"))
WORKERS, SCHEDULERS = ("worker-1", "worker-2"), ("scheduler-1", "scheduler-2")
# Logs are files of this machine, and two workers need not get to know each other.
LONE = ("--skip-serve-logs", "--without-mingle", "--without-gossip")
REDIS_PASSWORD = "only-for-this-test"
BOUGHT = [order_id(number) for number in range(1, 7)]
# The third order's creation is carried out, and then no answer comes: the worker is killed in the middle.
HANGING = BOUGHT[2]
# How soon the dead are noticed: what Compose sets, in seconds.
SHORT_TIMES = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
}
STORES = """
accounts:
  - name: acme-na
    seller_id: A1EXAMPLESELLER
    region: na
    stores:
      - name: Acme US
        marketplace_id: ATVPDKIKX0DER
        commerce_store_view: default
        orders: {import_since: "2026-01-01T00:00:00Z"}
"""


class Stack:
    """The services of docker-compose.yaml, each a process of this machine."""

    def __init__(self, installation: Installation, processes: LocalProcesses, ports: dict[str, int]) -> None:
        self.installation = installation
        self.processes = processes
        self.ports = ports

    def start_redis(self) -> None:
        """Redis as Compose starts it, with its data in a folder instead of a volume."""
        arguments = [
            part.replace("${REDIS_PASSWORD:?set it in .env}", REDIS_PASSWORD)
            for part in COMPOSE["services"]["redis"]["command"][1:]
        ]
        here = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.installation.folder)]
        self.processes.start("redis", "redis-server", *arguments, *here)

    def kill(self, name: str) -> None:
        """End a service and all of its processes at once, as a machine that loses its power does."""
        leader = psutil.Process(self.pid_of(name))
        for process in (leader, *leader.children(recursive=True)):
            process.kill()

    def pid_of(self, name: str) -> int:
        """The process of a service that is running."""
        leaders = json.loads((self.installation.folder / ".data/processes.json").read_text(encoding="utf-8"))
        return [int(leader["pid"]) for leader in leaders if leader["name"] == name][-1]

    def worker_of(self, task: Any) -> str:
        """The worker whose process runs a task instance."""
        parents = {parent.pid for parent in psutil.Process(task.pid).parents()}
        (name,) = [name for name in WORKERS if self.pid_of(name) in parents]
        return name


@contextmanager
def running(installation: Installation) -> Iterator[tuple[Stack, AirflowApi]]:
    """All services, until everybody is there; ended at the end."""
    folder = installation.folder
    (folder / "stores.yaml").write_text(STORES, encoding="utf-8")
    ports = {name: free_port() for name in ("api", "redis")}
    base_url = f"http://127.0.0.1:{ports['api']}"
    metadata = installation.variables()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    variables = installation.variables() | server_variables(folder, base_url)
    variables |= {
        "ORDERS_STORES_FILE": str(folder / "stores.yaml"),
        "ORDERS_SYNC_SCHEDULE": "off",
        "ORDERS_IN_DOUBT_GAP_SECONDS": "0",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:{quote(REDIS_PASSWORD)}@127.0.0.1:{ports['redis']}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{metadata}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }
    with ForkedProcesses(installation.airflow, folder, variables | SHORT_TIMES, grace_seconds=3) as processes:
        stack = Stack(installation, processes, ports)
        stack.start_redis()
        processes.start("api-server", AIRFLOW, "api-server")
        processes.start("dag-processor", AIRFLOW, "dag-processor", "--num-runs", "1")
        for name in SCHEDULERS:
            processes.start(name, AIRFLOW, "scheduler", "--skip-serve-logs")
        for name in WORKERS:
            processes.start(name, AIRFLOW, "celery", "worker", "--celery-hostname", name, *LONE)
        processes.finish("dag-processor")
        for path in ("/api/v2/monitor/health", "/execution/health"):
            processes.wait_until_answering("api-server", base_url + path, PATIENCE_SECONDS)
        for name in WORKERS:
            wait_until(lambda name=name: " ready." in log_of(processes, name), f"{name} to be ready")
        with sign_in(base_url) as api:
            api.add_pools(json.loads((CHECKOUT / "include" / "pools.json").read_text(encoding="utf-8")))
            api.set_paused(ORDERS, False)
            yield stack, api


def log_of(processes: LocalProcesses, name: str) -> str:
    return processes.log_of(name).read_text(encoding="utf-8", errors="replace")


def test_each_order_is_created_once_when_a_worker_a_scheduler_and_redis_are_killed(installation: Installation) -> None:
    assert shutil.which("redis-server"), "No Redis is installed. Resolution: apt-get install redis-server."
    sandbox = installation.sandbox
    for amazon_order_id in BOUGHT:
        installation.buy(amazon_order_id, {"TRAY-WALNUT": 1})
    sandbox.clock.advance(timedelta(minutes=10))
    sandbox.commerce_faults.add(Fault("createOrder", "slow", about=HANGING, seconds=SLOW_SECONDS))
    with running(installation) as (stack, api):
        run_id = api.trigger(ORDERS)
        wait_until(lambda: not sandbox.commerce_faults.pending(), "the request that is never answered")
        wait_until(lambda: sandbox.commerce.order_by_ext_id(HANGING), "its order")
        (task,) = installation.airflow_rows("select * from task_instance where task_id = 'create_commerce_orders'")
        stack.kill(stack.worker_of(task))
        stack.kill(SCHEDULERS[0])
        stack.kill("redis")
        stack.start_redis()
        api.wait_for_run(ORDERS, run_id, PATIENCE_SECONDS)
        (task,) = installation.airflow_rows("select * from task_instance where task_id = 'create_commerce_orders'")
        assert task.state == "success"
        assert task.try_number > 1, "the first try died with its worker"
        api.run(ORDERS, PATIENCE_SECONDS)  # looks up the order whose outcome is unknown
    counts = Counter(order["ext_order_id"] for order in sandbox.commerce.orders())
    assert counts == Counter(BOUGHT)
    states = installation.rows("select state, count(*) as orders from ops.order_outbox group by state")
    assert sum(row.orders for row in states if row.state in ("created", "adopted")) == len(BOUGHT)
    assert installation.rows("select 1 from ops.order_outbox where finished_at is null") == []
