"""Runs a scenario: a local Amazon and a local Commerce with one clock and, optionally, their state on disk."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import simplejson
import uvicorn

from local.sandbox.amazon.app import amazon_app
from local.sandbox.amazon.state import AmazonState
from local.sandbox.clock import SandboxClock
from local.sandbox.commerce.app import commerce_app
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import App, FaultScript
from local.sandbox.seeds import Scenario

_START_SECONDS = 10


class Sandbox:
    """Both servers, as a context manager. On exit they are stopped and the state is saved.

    `scenario` is a scenario, or a function that builds one for the moment of the first start, even when a saved state
    is continued. With `state_dir`, each request that changes something saves the state in `state_dir`/sandbox.json, and
    a new Sandbox continues from there. Port 0 takes any free port. Raises OSError if a port is in use, ValueError if
    the state file is not JSON.
    """

    def __init__(
        self,
        scenario: Scenario | Callable[[datetime], Scenario],
        *,
        clock: SandboxClock | None = None,
        state_dir: Path | None = None,
        amazon_port: int = 0,
        commerce_port: int = 0,
        host: str = "127.0.0.1",
        enforce_rate_limits: bool = True,
    ) -> None:
        self.clock = clock or SandboxClock()
        self.amazon_faults = FaultScript()
        self.commerce_faults = FaultScript()
        self._state_file = state_dir / "sandbox.json" if state_dir is not None else None
        self._saving = threading.Lock()
        self._host = host
        self._ports = (amazon_port, commerce_port)
        self._servers = ExitStack()
        self.amazon_url = ""
        self.commerce_url = ""

        stored = self._load()
        if stored:
            ahead = timedelta(seconds=float(stored["clock_offset_seconds"])) - self.clock.offset
            self.clock.advance(max(ahead, timedelta()))
        self.started_at = datetime.fromisoformat(stored["started_at"]) if stored else self.clock.now()
        story = scenario(self.started_at) if callable(scenario) else scenario
        self.amazon = AmazonState(story.applications, story.orders, self.clock, enforce_rate_limits=enforce_rate_limits)
        self.commerce = CommerceState(story.commerce, self.clock)
        if stored:
            self.amazon.restore(stored["amazon"])
            self.commerce.restore(stored["commerce"])

    def __enter__(self) -> Sandbox:
        amazon = amazon_app(self.amazon, self.clock, self.amazon_faults, self.save)
        commerce = commerce_app(self.commerce, self.clock, self.commerce_faults, self.save)
        with ExitStack() as servers:
            first = servers.enter_context(_Server(amazon, self._host, self._ports[0]))
            second = servers.enter_context(_Server(commerce, self._host, self._ports[1]))
            servers.callback(
                first.ask_to_stop
            )  # runs before we wait for the second one, so that both stop at the same time
            self.amazon_url, self.commerce_url = first.url, second.url
            self.save()
            self._servers = servers.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.close()
        self.save()

    def save(self) -> None:
        """Write the state to disk, atomically. Does nothing without a `state_dir`."""
        if self._state_file is None:
            return
        # Threads of both servers save. The lock keeps an older state from replacing a newer one.
        with self._saving:
            content = {
                "started_at": self.started_at.isoformat(),
                "clock_offset_seconds": self.clock.offset.total_seconds(),
                "amazon": self.amazon.snapshot(),
                "commerce": self.commerce.snapshot(),
            }
            _write_atomically(self._state_file, simplejson.dumps(content, use_decimal=True, ensure_ascii=False))

    def _load(self) -> dict[str, Any]:
        if self._state_file is None or not self._state_file.exists():
            return {}
        stored: dict[str, Any] = simplejson.loads(self._state_file.read_text(encoding="utf-8"), use_decimal=True)
        return stored


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


class _Server:
    """One uvicorn server in a thread. Binds its port before the thread starts, so that a port in use raises here."""

    def __init__(self, app: App, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port), backlog=128)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http="h11",  # the scripted faults close connections of this implementation
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # the applications send their own, by the sandbox's clock
            server_header=False,
            proxy_headers=False,  # it would wrap `send` and hide the connection from the faults
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=f"sandbox {self.url}", daemon=True
        )

    def __enter__(self) -> _Server:
        self._thread.start()
        give_up_at = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up_at:
                raise RuntimeError(f"The sandbox server at {self.url} did not start.")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ask_to_stop()
        self._thread.join()
        self._socket.close()

    def ask_to_stop(self) -> None:
        """Ask the server to finish its requests and stop. Does not wait for it."""
        self._server.should_exit = True
