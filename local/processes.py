"""Starts the sandbox and Airflow's processes on this machine, and ends all of them whatever happens.

Each process leads a session of its own. Its child processes can be found through the session, even when the process
itself has died. `.data/processes.json` lets a later command end what an interrupted one has left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import httpx
import psutil

from local import environment

START_SECONDS = 120
GRACE_SECONDS = 10


class ProcessError(RuntimeError):
    """A process ended or did not become healthy; the message names it and its log, with the last lines."""


@dataclass(frozen=True)
class Leader:
    """A process that leads a session: its name, its id, and its start time, because ids are reused."""

    name: str
    pid: int
    created: float  # seconds since 1970, as in psutil


class Process(Protocol):
    """What is needed of subprocess.Popen."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""

    def wait(self) -> int:
        """Its exit status, when it has ended."""


class LocalProcesses:
    """The processes of one checkout, with the environment `variables`. A context manager: on exit it ends them all.

    `grace_seconds`: how long they may take to end after being asked.
    """

    def __init__(self, checkout: Path, variables: Mapping[str, str], *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._checkout = checkout
        self._variables = dict(variables)
        self._running: dict[str, Process] = {}
        self.log_dir = environment.data_dir(checkout) / "logs"

    def __enter__(self) -> LocalProcesses:
        end_leftovers(self._checkout)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave some of them running.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            end_leftovers(self._checkout, self._grace_seconds)
            for process in self._running.values():
                process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def log_of(self, name: str) -> Path:
        """The log file of the process `name`."""
        return self.log_dir / f"{name}.log"

    def finish(self, name: str) -> None:
        """Wait until the process `name`, a command that ends by itself, is done. Raises ProcessError if it fails."""
        if self._running.pop(name).wait() != 0:
            raise self._failure(name, "failed")

    def start(self, name: str, *command: str, settings: Mapping[str, str] | None = None) -> None:
        """Start a process in a session of its own. Its output replaces its previous log.

        `settings` go over the checkout's variables. A process that had this name must be ending.
        """
        if name in self._running:
            self._running.pop(name).wait()
        with self.log_of(name).open("wb") as log:
            process = self._start(command, self._variables | dict(settings or {}), log)
        self._running[name] = process
        leaders = _read_leaders(self._checkout)
        with contextlib.suppress(psutil.NoSuchProcess):  # it has already ended; whoever waits for it will notice
            leaders.append(Leader(name, process.pid, psutil.Process(process.pid).create_time()))
        _write_leaders(self._checkout, leaders)

    def _start(self, command: tuple[str, ...], variables: Mapping[str, str], log: BinaryIO) -> Process:
        return subprocess.Popen(
            command,
            cwd=self._checkout,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def check(self) -> None:
        """Raise ProcessError if one of the processes has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise self._failure(name, f"ended with status {process.returncode}")

    def wait_until_answering(self, name: str, url: str, seconds: float = START_SECONDS) -> None:
        """Wait until the process `name` answers a GET of `url` (on this machine) with 200.

        An answer from another program that has taken the port does not count. Raises ProcessError if that takes
        longer than `seconds`, or if any process has ended.
        """
        port = urlsplit(url).port
        deadline = time.monotonic() + seconds
        while not (self._listens(name, port) and _answers(url)):
            self.check()
            if time.monotonic() > deadline:
                raise self._failure(name, f"is not healthy after {seconds:.0f} seconds")
            time.sleep(0.3)

    def _listens(self, name: str, port: int | None) -> bool:
        try:
            sockets = psutil.Process(self._running[name].pid).net_connections(kind="tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)

    def _failure(self, name: str, what: str) -> ProcessError:
        lines = self.log_of(name).read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return ProcessError("\n".join([f"The process {name} {what}. Its log ({self.log_of(name)}) ends with:", *lines]))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def python(*arguments: str) -> tuple[str, ...]:
    """The command that runs this environment's Python with `arguments`."""
    return (sys.executable, *arguments)


def end_leftovers(checkout: Path, grace_seconds: float = GRACE_SECONDS) -> int:
    """End every process of this checkout that is still alive and return how many there were.

    They are asked to end, and killed after `grace_seconds`.
    """
    leaders = _read_leaders(checkout)
    members = _members(leaders)
    for leader in leaders:
        # Ask the leader only: Airflow's scheduler then ends its own workers in an orderly way.
        if any(process.pid == leader.pid for process in members):
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=grace_seconds if members else 0)
    # Processes that were started in the meantime, and those that did not end when asked.
    for process in {*alive, *_members(leaders)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    _path(checkout).unlink(missing_ok=True)
    return len(members)


def _members(leaders: Iterable[Leader]) -> list[psutil.Process]:
    """The living processes in the sessions of `leaders`, including the leaders themselves."""
    sessions = {leader.pid: leader for leader in leaders}
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            leader = sessions.get(os.getsid(process.pid))
            if leader is None or process.status() == psutil.STATUS_ZOMBIE:
                continue
            # A session's id is reused only when all of its members are gone. A process with the leader's id but another
            # start time shows that this has happened.
            is_reused = psutil.pid_exists(leader.pid) and psutil.Process(leader.pid).create_time() != leader.created
            if not is_reused and process.create_time() >= leader.created:
                members.append(process)
    return members


def _path(checkout: Path) -> Path:
    return environment.data_dir(checkout) / "processes.json"


def _read_leaders(checkout: Path) -> list[Leader]:
    try:
        entries = json.loads(_path(checkout).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [Leader(**entry) for entry in entries]


def _write_leaders(checkout: Path, leaders: Iterable[Leader]) -> None:
    draft = _path(checkout).with_suffix(".draft")
    draft.write_text(json.dumps([asdict(leader) for leader in leaders]), encoding="utf-8")
    draft.replace(_path(checkout))
