"""What `make demo` and `make up` do: bring orders from a local Amazon through real Airflow to a local shop and back.

The story is played once per data folder. Afterwards `make demo` prints and checks what is there, without Airflow, and
`make up` only starts everything.
"""

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
import psycopg

from local import environment, postgres, report, story
from local.airflow_api import AirflowApi, AirflowApiError, DagRunFailedError
from local.processes import LocalProcesses, ProcessError, end_leftovers, python

# The default waiting times suit the real Amazon. In the story the sandbox's clock is advanced instead.
SHORT_WAITS = {"ORDERS_SHIPMENT_VERIFY_GAP_SECONDS": "1", "ORDERS_IN_DOUBT_GAP_SECONDS": "1"}
# Only the story's own runs: each would otherwise queue behind one that the schedule starts.
NO_SCHEDULES = {"ORDERS_SYNC_SCHEDULE": "off", "ORDERS_SHIPMENT_SCHEDULE": "off"}


class RefusedError(RuntimeError):
    """The demo cannot start; the message says why."""


def main(checkout: Path, caller: Mapping[str, str], *, keep_running: bool) -> int:
    """Run the demo and print the result; with `keep_running`, stay until Ctrl-C. Returns the exit status."""
    progress = Progress()
    try:
        with _only_one(checkout), _signals_as_exceptions():
            was_running = postgres.is_running(environment.database_dir(checkout))
            try:
                return _run(checkout, caller, progress, keep_running=keep_running)
            finally:
                if not was_running:
                    postgres.stop(environment.database_dir(checkout))
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0 if keep_running and progress.is_over else 130
    except DagRunFailedError as error:
        print(f"\n{error}", file=sys.stderr)
        _print_task_logs(error, checkout, caller)
    except httpx.HTTPError as error:
        logs = environment.data_dir(checkout) / "logs"
        print(
            f"\nA local server did not answer ({type(error).__name__}). Resolution: look at its log in {logs}, "
            "or, if the machine was busy, try again.",
            file=sys.stderr,
        )
    except (
        AirflowApiError, ProcessError, RefusedError, postgres.EmbeddedPostgresError, ValueError, OSError,
    ) as error:  # fmt: skip
        print(f"\n{error}", file=sys.stderr)
    return 1


def down(checkout: Path) -> None:
    """Stop what `make demo` or `make up` of this checkout still runs, in any terminal, and stop its database."""
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
    """Prints progress with the seconds since the start. On a terminal, passing states share one line."""

    QUIET_SECONDS = 10  # without a terminal, as in a log: print a passing state after so long without a line

    def __init__(self) -> None:
        self._started = self._printed_at = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self.is_over = False

    def __call__(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self._print(text, end="\n")

    def passing(self, text: str) -> None:
        """Print a state that the next line may replace."""
        if self._is_terminal:
            self._print(text[: shutil.get_terminal_size().columns - 12], end="")
        elif time.monotonic() - self._printed_at > self.QUIET_SECONDS:
            self._print(text, end="\n")

    def _print(self, text: str, end: str) -> None:
        self._printed_at = time.monotonic()
        start = "\r\x1b[K" if self._is_terminal else ""
        print(f"{start}[{self._printed_at - self._started:4.0f} s] {text}", end=end, flush=True)


def _run(checkout: Path, caller: Mapping[str, str], progress: Progress, *, keep_running: bool) -> int:
    if end_leftovers(checkout):
        progress("Stopped processes that an interrupted run had left behind.")
    environment.renew_ports(checkout, caller)
    progress("Starting the database.")
    variables = {**SHORT_WAITS, **caller, **environment.compute(checkout, caller)}
    _refuse_real_systems(variables)
    before = _reported_orders(variables)
    # Without orders the story was played with another database.
    first = story.steps_done(checkout) if before or story.steps_done(checkout) < len(story.STEPS) else 0
    is_played = first == len(story.STEPS)
    if is_played:
        progress("The story has been played with this checkout's data. It is not played again.")
    with LocalProcesses(checkout, variables) as processes:
        amazon = _start_sandbox(processes, variables, progress, with_airflow=keep_running or not is_played)
        if keep_running or not is_played:
            api = _start_airflow(processes, checkout, variables, progress, is_played=is_played)
        if not is_played:
            story.play(checkout, api, amazon, first)
        if not (is_played and keep_running):
            problems = _print_result(before, variables)
            if problems:
                print("\nThe check found discrepancies:", *problems, sep="\n  ", file=sys.stderr)
                return 1
            print(_CHECKED)
        progress.is_over = True
        if keep_running:
            _stay(processes, api, checkout, variables, is_played=is_played)
        print(_NEXT_STEPS, flush=True)
    return 0


def _reported_orders(variables: Mapping[str, str]) -> dict[str, str | None]:
    try:
        with report.connect("orders_db_analyst", variables) as connection:
            return report.reported_orders(connection)
    except psycopg.OperationalError:
        return {}  # before the first migration the role does not exist


def _start_sandbox(
    processes: LocalProcesses, variables: Mapping[str, str], progress: Progress, *, with_airflow: bool
) -> str:
    """Start the sandbox and migrate the databases that are needed. Returns the address of the local Amazon."""
    amazon, commerce = (
        f"http://{environment.LOOPBACK}:{variables[environment.PORTS[name][0]]}" for name in ("amazon", "commerce")
    )
    progress("Starting the sandbox (a local Amazon and a local shop) and migrating the databases.")
    migrations = {"migrate-orders": python("-m", "include.database", "migrate")}
    if with_airflow:
        migrations["migrate-airflow"] = _airflow("db", "migrate")
    for name, command in migrations.items():
        processes.start(name, *command)
    processes.start(
        "sandbox", *python("-m", "local.sandbox", "--state-dir", ".data/sandbox"),
        "--start-minutes-ago", str(story.STARTS_MINUTES_AGO),
        "--amazon-port", amazon.rpartition(":")[2], "--commerce-port", commerce.rpartition(":")[2],
    )  # fmt: skip
    for name in migrations:
        processes.finish(name)
    for address in (amazon, commerce):
        processes.wait_until_answering("sandbox", f"{address}/sandbox/health")
    return amazon


def _start_airflow(
    processes: LocalProcesses, checkout: Path, variables: Mapping[str, str], progress: Progress, *, is_played: bool
) -> AirflowApi:
    """Start Airflow. Until the story is played, the DAGs are read only once and have no schedules."""
    progress("Starting Airflow.")
    # Task logs are files on this machine, so the scheduler need not serve them.
    scheduler = _airflow("scheduler", "--skip-serve-logs")
    processes.start("api-server", *_airflow("api-server"))
    if is_played:
        processes.start("dag-processor", *_airflow("dag-processor"))
    else:
        processes.start("scheduler", *scheduler)
        processes.start("dag-processor", *_airflow("dag-processor", "--num-runs", "1"), settings=NO_SCHEDULES)
        processes.finish("dag-processor")
    base_url = variables["AIRFLOW__API__BASE_URL"]
    # The API for people, and the one for tasks, whose first answer takes seconds.
    for path in ("/api/v2/monitor/health", "/execution/health"):
        processes.wait_until_answering("api-server", f"{base_url}{path}")
    if is_played:
        processes.start("scheduler", *scheduler)  # starts tasks at once, which need the API server
    api = AirflowApi(base_url, *environment.sign_in(checkout), progress)
    api.add_pools(json.loads((checkout / "include" / "pools.json").read_text(encoding="utf-8")))
    return api


def _print_result(before: Mapping[str, str | None], variables: Mapping[str, str]) -> list[str]:
    """Print the tables and return what the final check finds wrong."""
    with (
        report.connect("orders_db_analyst", variables) as connection,
        report.connect("orders_db", variables) as operations,
    ):
        print(report.summary(connection, operations), flush=True)
        shop = report.shop_orders(variables["AIRFLOW_CONN_COMMERCE_API"])
        return report.discrepancies(before, report.reported_orders(connection), shop)


def _stay(
    processes: LocalProcesses, api: AirflowApi, checkout: Path, variables: Mapping[str, str], *, is_played: bool
) -> None:
    """Let the schedules start the DAGs, print where Airflow is, and wait for Ctrl-C."""
    if not is_played:
        processes.start("dag-processor", *_airflow("dag-processor"))  # reads the DAGs again, with their schedules
    api.wait_until_healthy(("scheduler", "dag_processor"))
    story.turn_on(checkout, api)
    # No DAG needs a triggerer, but without one Airflow's home page shows it in red, and nothing hides it.
    processes.start("triggerer", *_airflow("triggerer", "--skip-serve-logs"))
    user, password = environment.sign_in(checkout)
    base_url = variables["AIRFLOW__API__BASE_URL"]
    print(f"\nAirflow is running at {base_url}   user: {user}   password: {password}")
    print(f"Recent Orders: {base_url}/plugin/recent-orders")
    embedded = environment.database_dir(checkout)
    if str(postgres.address_of(embedded).socket_dir) in variables.get("AIRFLOW_CONN_ORDERS_DB_ANALYST", ""):
        print(f"Its tables:    {postgres.psql_command(embedded, 'analyst')}")
    print("The DAGs now run on their schedules. Ctrl-C stops everything and keeps the data.", flush=True)
    while True:
        processes.check()
        time.sleep(1)


def _airflow(*arguments: str) -> tuple[str, ...]:
    return (str(Path(sys.executable).with_name("airflow")), *arguments)


def _refuse_real_systems(variables: Mapping[str, str]) -> None:
    """The demo creates and ships orders, so it must never reach anything but the sandbox."""
    sides = dict.fromkeys(environment.AMAZON_CONNECTIONS.values(), "amazon") | {"commerce_api": "commerce"}
    for connection_id, side in sides.items():
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        expected = f"http://{environment.LOOPBACK}:{variables[environment.PORTS[side][0]]}"
        try:
            host = json.loads(variables.get(variable, "{}")).get("host", expected)
        except ValueError:
            host = None
        if host != expected:
            raise RefusedError(f"{variable} does not point at the sandbox. Resolution: unset it for the demo.")


def _print_task_logs(error: DagRunFailedError, checkout: Path, caller: Mapping[str, str]) -> None:
    home = Path(caller.get("AIRFLOW_HOME", environment.data_dir(checkout) / "airflow"))
    folder = Path(caller.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER", home / "logs"))
    for task in error.tasks[:3]:
        path = folder / task.log_file()
        print(f"\nThe log of {task.task_id} ({path}) ends with:", file=sys.stderr)
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
                print(f"  {_readable(line)}", file=sys.stderr)


def _readable(line: str) -> str:
    """A line of a task log, which is JSON, as level and text, with its exceptions."""
    try:
        entry = json.loads(line)
        causes = [f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ()]
        return " | ".join([f"{entry.get('level', '')} {entry['event']}", *causes])
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


@contextmanager
def _only_one(checkout: Path) -> Iterator[None]:
    """Hold the lock of a running demo. The file contains the process id, for `make down`."""
    path = _lock_file(checkout)
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        if not _try_lock(handle.fileno()):
            raise RefusedError(
                "`make demo` or `make up` is already running in this checkout. Resolution: stop it with `make down`."
            )
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
    """Make a closed terminal and `kill` act like Ctrl-C, which stops everything."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_CHECKED = """
Checked: each Commerce order that Recent Orders shows is in the shop exactly once, and none is missing."""
_NEXT_STEPS = """
Next steps
==========
make up                      start everything and use Airflow in your browser
make demo                    print and check this result again; nothing is run twice
eval "$(make -s env)"        make .venv/bin/airflow work on this checkout
make clean                   delete all data; the next `make demo` plays the story again"""
