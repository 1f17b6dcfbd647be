"""Airflow's commands without their start: a process that has imported Airflow forks for each installation.

Importing Airflow and Great Expectations and building the routes of Airflow's API for tasks costs fifteen seconds of a
processor, a fork nothing. It does what the command `airflow` does, with the environment and the working folder of its
installation.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
COMMAND_SECONDS = 600  # only a safety net
_ENDED = "=== the command has ended with "
_IMPORTED = (
    "airflow.__main__",
    "airflow.cli.commands.dag_command",
    "airflow.sdk.execution_time.task_runner",
    "great_expectations",
    "include.resources",
    "include.retry_policy",
)


@dataclass(frozen=True)
class Ended:
    """The exit status of a command and all that it printed."""

    status: int
    output: str


Run = Callable[..., Ended]


class WarmAirflow:
    """The process, which is started when it is first needed and ended at the end, with all that it has forked."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="orders-warm-"))
        self._socket = str(self._folder / "socket")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WarmAirflow:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS_"))}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket)
            listener.listen()
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_airflow", str(listener.fileno())],
                cwd=CHECKOUT,
                env=kept | _environment(self._folder),
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    @contextmanager
    def console(self, folder: Path, environment: Mapping[str, str]) -> Iterator[Run]:
        """Runs commands one after the other in one process: `run("dags", "test", dag_id)`."""
        self._process = self._process or self._start()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(COMMAND_SECONDS)
            connection.connect(self._socket)
            connection.sendall(_line({"folder": str(folder), "environment": dict(environment)}))
            with connection.makefile("r", encoding="utf-8", errors="replace") as printed:

                def run(*arguments: str) -> Ended:
                    connection.sendall(_line(["airflow", *arguments]))
                    lines: list[str] = []
                    for line in printed:
                        if line.startswith(_ENDED):
                            return Ended(int(line.removeprefix(_ENDED)), "".join(lines))
                        lines.append(line)
                    raise AssertionError("The process has died.\n" + "".join(lines[-50:]))

                yield run


def _environment(folder: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://airflow@/none?host=%2Fnowhere",
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "GX_ANALYTICS_ENABLED": "false",
        "NO_COLOR": "1",
        "PYTHONPATH": str(CHECKOUT),
    }


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _serve(listener: socket.socket) -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    # The routes of the API that `dags test` keeps within its process. Otherwise the first request builds them.
    in_process_api_server().app._cadwyn_initialize()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        connection, _ = listener.accept()
        sys.stdout.flush()
        if os.fork() == 0:
            try:
                _answer(connection)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(0)
        connection.close()


def _answer(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in (1, 2):
        os.dup2(connection.fileno(), descriptor)
    lines = connection.makefile("r", encoding="utf-8")
    place = json.loads(lines.readline())
    os.chdir(place["folder"])
    os.environ.clear()
    os.environ.update(place["environment"])
    from airflow import settings
    from airflow.__main__ import main
    from airflow.configuration import conf

    settings.configure_vars()  # type: ignore[no-untyped-call]
    settings.configure_orm()  # type: ignore[no-untyped-call]
    conf.mask_secrets()  # type: ignore[no-untyped-call]
    for line in lines:
        sys.argv = json.loads(line)
        print(f"\n{_ENDED}{_status(main)}", flush=True)


def _status(main: Callable[[], object]) -> int:
    """The exit status with which a process would end that does nothing but this."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
