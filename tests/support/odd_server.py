"""A server whose answers a test lists, for the answers that no Amazon and no Commerce should give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Odd(f"http://127.0.0.1:{server.server_address[1]}", [])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
