"""The story that `make demo` plays: orders travel from a local Amazon through real Airflow to a local shop and back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from local import environment, postgres, report
from local.airflow_api import AirflowApi, AirflowApiError, DagRunFailedError
from local.processes import LocalProcesses, ProcessError, end_leftovers, python

ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
PURGE = "purge_operational_history"
RUN_SECONDS = 240

# What happens between the first order and its shipment: a DAG that runs, or minutes that the sandbox's clock moves on.
STORY: tuple[str | int, ...] = (ORDERS, 21, ORDERS, SHIPMENTS, 6, SHIPMENTS, ORDERS, ORDERS)

# Real waiting times suit Amazon; here the sandbox's clock moves instead.
SHORT_WAITS = {"ORDERS_SHIPMENT_VERIFY_GAP_SECONDS": "1", "ORDERS_IN_DOUBT_GAP_SECONDS": "1"}


class RefusedError(RuntimeError):
    """The demo does not begin; the text says why."""


def main(checkout: Path, caller: Mapping[str, str], *, keep_running: bool) -> int:
    """Play the story and print what came of it; with `keep_running` stay until Ctrl-C. Returns the exit status."""
    progress = Progress()
    try:
        with _only_one(checkout), _signals_as_exceptions():
            was_running = postgres.is_running(environment.database_dir(checkout))
            try:
                return _play(checkout, caller, progress, keep_running=keep_running)
            finally:
                if not was_running:
                    postgres.stop(environment.database_dir(checkout))
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0 if keep_running and progress.is_over else 130
    except DagRunFailedError as error:
        print(f"\n{error}", file=sys.stderr)
        _print_task_logs(error, checkout, caller)
    except (
        AirflowApiError, ProcessError, RefusedError, postgres.EmbeddedPostgresError, ValueError, OSError,
        httpx.HTTPError,
    ) as error:  # fmt: skip
        print(f"\n{error}", file=sys.stderr)
    return 1


def down(checkout: Path) -> None:
    """End what `make demo` or `make up` of this checkout still runs, in any terminal, and stop its database."""
    with contextlib.suppress(FileNotFoundError), _lock_file(checkout).open("r") as handle:
        deadline = time.monotonic() + 60
        while not _try_lock(handle.fileno()) and time.monotonic() < deadline:
            with contextlib.suppress(ValueError, ProcessLookupError):
                os.kill(int(_lock_file(checkout).read_text(encoding="utf-8")), signal.SIGTERM)
            time.sleep(1)
    if environment.data_dir(checkout).is_dir():
        end_leftovers(checkout)
    postgres.stop(environment.database_dir(checkout))


class Progress:
    """Prints what happens, with the seconds since the start. On a terminal, what passes is one line that changes."""

    QUIET_SECONDS = 10  # elsewhere, as in a log: a line of what passes when nothing else was said for so long

    def __init__(self) -> None:
        self._started = self._said = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self.is_over = False

    def __call__(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text, end="\n")

    def passing(self, text: str) -> None:
        """Print what is going on just now."""
        if self._is_terminal:
            self._print(text[: shutil.get_terminal_size().columns - 12], end="")
        elif time.monotonic() - self._said > self.QUIET_SECONDS:
            self._print(text, end="\n")

    def _print(self, text: str, end: str) -> None:
        self._said = time.monotonic()
        start = "\r\x1b[K" if self._is_terminal else ""
        print(f"{start}[{self._said - self._started:4.0f} s] {text}", end=end, flush=True)


def _play(checkout: Path, caller: Mapping[str, str], progress: Progress, *, keep_running: bool) -> int:
    if end_leftovers(checkout):
        progress("Ended what an interrupted run had left.")
    environment.renew_ports(checkout, caller)
    progress("Starting the database.")
    variables = {**SHORT_WAITS, **caller, **environment.compute(checkout, caller)}
    _refuse_real_systems(variables)
    base_url = variables["AIRFLOW__API__BASE_URL"]
    with LocalProcesses(checkout, variables) as processes:
        amazon = _start(processes, variables, progress)
        with report.connect("orders_db_analyst", variables) as connection:
            before = report.reported_orders(connection)
        api = AirflowApi(base_url, *environment.sign_in(checkout), progress)
        api.add_pools(json.loads((checkout / "include" / "pools.json").read_text(encoding="utf-8")))
        _tell(api, amazon, progress)
        with (
            report.connect("orders_db_analyst", variables) as connection,
            report.connect("orders_db", variables) as shipments,
        ):
            print(report.summary(connection, shipments), flush=True)
            problems = report.broken_promises(
                before, report.reported_orders(connection), report.shop_orders(variables["AIRFLOW_CONN_COMMERCE_API"])
            )
        if problems:
            print("\nSomething is wrong:", *problems, sep="\n  ", file=sys.stderr)
            return 1
        progress.is_over = True
        print("\nChecked: one shop order for each order that Recent Orders links, none doubled, none lost.")
        if keep_running:
            _stay(api, processes, checkout, base_url)
        else:
            print(_HOW_TO_GO_ON, flush=True)
    return 0


def _start(processes: LocalProcesses, variables: Mapping[str, str], progress: Progress) -> str:
    """Start the sandbox, migrate both databases, start Airflow; returns the sandbox's address for its clock."""
    amazon, commerce = (
        f"http://{environment.LOOPBACK}:{variables[environment.PORTS[name][0]]}" for name in ("amazon", "commerce")
    )
    progress("Starting the sandbox (a local Amazon and a local shop) and migrating the databases.")
    processes.start(
        "sandbox", *python("-m", "local.sandbox", "--state-dir", ".data/sandbox"),
        "--amazon-port", amazon.rpartition(":")[2], "--commerce-port", commerce.rpartition(":")[2],
    )  # fmt: skip
    processes.start("migrate-orders", *python("-m", "include.database", "migrate"))
    processes.start("migrate-airflow", *_airflow("db", "migrate"))
    processes.finish("migrate-orders")
    processes.finish("migrate-airflow")
    for address in (amazon, commerce):
        processes.wait_until_answering("sandbox", f"{address}/sandbox/health")
    progress("Starting Airflow.")
    # Tasks' logs are files of this machine: nobody has to serve them.
    for command in (("api-server",), ("scheduler", "--skip-serve-logs"), ("dag-processor",)):
        processes.start(command[0], *_airflow(*command))
    base_url = variables["AIRFLOW__API__BASE_URL"]
    processes.wait_until_answering("api-server", f"{base_url}/api/v2/monitor/health")
    return amazon


def _tell(api: AirflowApi, amazon: str, progress: Progress) -> None:
    api.wait_for_dags((ORDERS, SHIPMENTS, REPORTING))
    for dag_id in (ORDERS, SHIPMENTS, REPORTING):
        api.set_paused(dag_id, True)
    last = ("", "")
    for number, chapter in enumerate(STORY, start=1):
        if number == len(STORY):
            api.set_paused(REPORTING, False)  # once, after the last run, is enough to print
        if isinstance(chapter, int):
            progress(f"{chapter} minutes pass at Amazon and in the shop.")
            answer = httpx.post(
                f"{amazon}/sandbox/clock", json={"advance_seconds": chapter * 60}, timeout=30, trust_env=False
            )
            answer.raise_for_status()
        else:
            last = (chapter, api.run(chapter, RUN_SECONDS))
    api.wait_for_triggered(*last, REPORTING, RUN_SECONDS)


def _stay(api: AirflowApi, processes: LocalProcesses, checkout: Path, base_url: str) -> None:
    for dag_id in (ORDERS, SHIPMENTS, PURGE):
        api.set_paused(dag_id, False)
    user, password = environment.sign_in(checkout)
    print(f"\nAirflow runs at {base_url}   user: {user}   password: {password}")
    print("The DAGs run on their schedules from now on. Ctrl-C stops everything; the data stays.", flush=True)
    while True:
        processes.check()
        time.sleep(1)


def _airflow(*arguments: str) -> tuple[str, ...]:
    return (str(Path(sys.executable).with_name("airflow")), *arguments)


def _refuse_real_systems(variables: Mapping[str, str]) -> None:
    """The demo makes orders and ships them: only ever in the sandbox."""
    sides = dict.fromkeys(environment.AMAZON_CONNECTIONS.values(), "amazon") | {"commerce_api": "commerce"}
    for connection_id, side in sides.items():
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        expected = f"http://{environment.LOOPBACK}:{variables[environment.PORTS[side][0]]}"
        try:
            host = json.loads(variables.get(variable, "{}")).get("host", expected)
        except ValueError:
            host = None
        if host != expected:
            raise RefusedError(f"{variable} points elsewhere than at the sandbox. Resolution: unset it for the demo.")


def _print_task_logs(error: DagRunFailedError, checkout: Path, caller: Mapping[str, str]) -> None:
    home = Path(caller.get("AIRFLOW_HOME", environment.data_dir(checkout) / "airflow"))
    folder = Path(caller.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER", home / "logs"))
    for task in error.tasks[:3]:
        path = folder / task.log_file()
        print(f"\n{task.task_id}: its log, {path}, ends with:", file=sys.stderr)
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
                print(f"  {_readable(line)}", file=sys.stderr)


def _readable(line: str) -> str:
    """A line of a task's log, which is JSON, as level and text; with the exception if it carries one."""
    try:
        entry = json.loads(line)
        causes = [f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ()]
        return " | ".join([f"{entry.get('level', '')} {entry['event']}", *causes])
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


@contextmanager
def _only_one(checkout: Path) -> Iterator[None]:
    """Hold the lock of a running demo; the file names its process, for `make down`."""
    path = _lock_file(checkout)
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        if not _try_lock(handle.fileno()):
            raise RefusedError("`make demo` or `make up` of this checkout is running already. `make down` ends it.")
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def _lock_file(checkout: Path) -> Path:
    return environment.data_dir(checkout) / "running.lock"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """A closed terminal and `kill` end the demo as Ctrl-C does: with everything stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_HOW_TO_GO_ON = """
How to go on
============
make up                      the same, then Airflow stays open in the browser
make demo                    once more: the same orders, nothing doubled
eval "$(make -s env)"        then .venv/bin/airflow works on this checkout
make clean                   removes all data of this demo"""
