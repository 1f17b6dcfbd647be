"""Airflow's commands without their start: a process that has imported Airflow forks for each of them.

Importing Airflow and Great Expectations and building the routes of Airflow's API for tasks costs half a minute of a
processor, a fork nothing. What is forked does what its command does, with the environment and the working folder of its
installation. One such process serves the whole session, all workers of pytest-xdist included.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from local.processes import LocalProcesses, Process
from tests.support import warm_imports

CHECKOUT = Path(__file__).parents[2]
COMMAND_SECONDS = 600  # only a safety net
SOCKET_VARIABLE = "WARM_AIRFLOW_SOCKET"
_ENDED = "=== the command has ended with "
_CONSOLE, _START = b"c", b"s"


@dataclass(frozen=True)
class Ended:
    """The exit status of a command and all that it printed."""

    status: int
    output: str


Run = Callable[..., Ended]


class WarmProcess:
    """The process, which is started when it is first needed. It ends with `stop`, or with whoever has made it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="orders-warm-"))
        self.socket = str(self._folder / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket)
        self._listener.listen(64)
        self._stopping, self._stop = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._start_when_needed, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, with all that runs in its consoles."""
        os.write(self._stop, b"\n")
        self._thread.join()
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait()
        self._listener.close()
        os.close(self._stopping)
        os.close(self._stop)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start_when_needed(self) -> None:
        awaited = [self._listener.fileno(), self._stopping]
        if self._stopping in select.select(awaited, [], [])[0]:
            return
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_airflow", str(self._listener.fileno())],
            cwd=CHECKOUT,
            env=kept | warm_imports.environment(self._folder),
            stdin=subprocess.PIPE,
            pass_fds=[self._listener.fileno()],
            start_new_session=True,
        )


class Forked:
    """A command that was started: a process that leads a session of its own, as far as one needs it of Popen."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._said = connection.makefile("r", encoding="ascii")
        self.pid = int(self._said.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status if it has ended."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """The exit status, when it has ended."""
        if self.returncode is None:
            self.returncode = int(self._said.readline())
            self._said.close()
            self._connection.close()
        return self.returncode


class WarmAirflow:
    """What asks the session's process."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket_path

    @contextmanager
    def console(self, folder: Path, environment: Mapping[str, str]) -> Iterator[Run]:
        """Runs commands one after the other in one process: `run("dags", "test", dag_id)`."""
        with self._connected() as connection:
            connection.sendall(_CONSOLE + _place(folder, environment))
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

    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], stdout: int, stderr: int
    ) -> Forked:
        """Start `airflow` or `python -m` in a process of its own; `stdout` and `stderr` are file descriptors."""
        connection = self._connected()
        socket.send_fds(connection, [_START], [stdout, stderr])
        connection.sendall(_place(folder, environment) + _line(list(command)))
        return Forked(connection)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(COMMAND_SECONDS)
        connection.connect(self._socket)
        return connection


class ForkedProcesses(LocalProcesses):
    """The same processes, where those of Airflow are forked. Celery's workers are not: they have settings of tasks."""

    def __init__(self, airflow: WarmAirflow, checkout: Path, variables: Mapping[str, str], **options: float) -> None:
        super().__init__(checkout, variables, **options)
        self._airflow = airflow

    def _start(self, command: tuple[str, ...], variables: Mapping[str, str], log: BinaryIO) -> Process:
        if Path(command[0]).name != "airflow" or command[1] == "celery":
            return super()._start(command, variables, log)
        return self._airflow.start(command, self._checkout, variables, log.fileno(), log.fileno())


@contextmanager
def warm_airflow() -> Iterator[WarmAirflow]:
    """A process for the caller alone."""
    process = WarmProcess()
    try:
        yield WarmAirflow(process.socket)
    finally:
        process.stop()


def _place(folder: Path, environment: Mapping[str, str]) -> bytes:
    return _line({"folder": str(folder), "environment": warm_imports.AT_IMPORT | dict(environment)})


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _serve(listener: socket.socket) -> None:
    at_import = warm_imports.import_everything()
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if sys.stdin in ready:  # the session is over
            os.killpg(0, signal.SIGKILL)
        connection, _ = listener.accept()
        sys.stdout.flush()
        if os.fork() == 0:
            listener.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            kind, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
            if kind == _START:
                sys.exit(_start(connection, descriptors, at_import))
            try:
                _run_console(connection, at_import)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(0)
        connection.close()


def _run_console(connection: socket.socket, at_import: warm_imports.Reads) -> None:
    for descriptor in (1, 2):
        os.dup2(connection.fileno(), descriptor)
    lines = connection.makefile("r", encoding="utf-8")
    _move_to(json.loads(lines.readline()), at_import)
    for line in lines:
        print(f"\n{_ENDED}{_status(json.loads(line))}", flush=True)


def _start(connection: socket.socket, descriptors: list[int], at_import: warm_imports.Reads) -> int:
    """Run a command in a process of its own and return, in that process, its exit status."""
    with connection.makefile("r", encoding="utf-8") as lines:
        place, command = json.loads(lines.readline()), json.loads(lines.readline())
    forked = os.fork()
    if forked:
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(forked, 0)
        with contextlib.suppress(OSError):  # nobody waits for it any more
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.setsid()
    connection.sendall(b"%d\n" % os.getpid())
    connection.close()
    for descriptor, number in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    try:
        _move_to(place, at_import)
    except Exception:
        traceback.print_exc()
        return 1
    return _status(command)


def _move_to(place: dict[str, object], at_import: warm_imports.Reads) -> None:
    os.chdir(str(place["folder"]))
    os.environ.clear()
    os.environ.update(place["environment"])  # type: ignore[call-overload]
    warm_imports.begin(at_import)


def _status(command: list[str]) -> int:
    """The exit status with which a process would end that does nothing but this command."""
    program, *arguments = command
    try:
        if Path(program).name == "airflow":
            from airflow.__main__ import main

            sys.argv = command
            main()  # type: ignore[no-untyped-call]
        else:
            option, module, *arguments = arguments
            assert option == "-m", command
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
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
