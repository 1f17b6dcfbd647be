"""A server whose answers a test lists, for the answers that no Amazon and no Commerce should give."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Odd:
    """A server whose answers a test lists; the last one is repeated."""

    url: str
    replies: list[Reply]
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def odd() -> Iterator[Odd]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.seen.append(self.path)
            status, headers, body = state.replies.pop(0) if len(state.replies) > 1 else state.replies[0]
            self.send_response_only(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """Silent: a client that has seen enough hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Odd(f"http://127.0.0.1:{server.server_address[1]}", [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Raw:
    """A server that sends the bytes of `answer` as they are, piece by piece, until its client has gone."""

    url: str
    answer: Callable[[], Iterator[bytes]] = lambda: iter(())
    requests: list[bytes] = field(default_factory=list)

    @property
    def hostport(self) -> str:
        return self.url.partition("://")[2]


@pytest.fixture
def raw() -> Iterator[Raw]:
    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            with suppress(OSError):
                state.requests.append(self.request.recv(65536))
                for piece in state.answer():
                    self.request.sendall(piece)

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Raw(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
