"""Scripted faults: failures as real networks and gateways cause them, on request and counted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal, get_args
from urllib.parse import unquote_plus

FaultKind = Literal[
    "throttle",  # not executed; 429
    "html_500",  # not executed; 500 with an HTML page, as a gateway sends it
    "empty_500",  # not executed; 500 without a body
    "html_503",  # not executed; 503 with an HTML page, as a shop in maintenance sends it
    "slow",  # executed; the answer comes after `seconds`, unless the client has gone by then
    "lost_reply",  # executed; the connection is closed without an answer
    "dropped",  # not executed; the connection is closed without an answer
    "expired_token",  # not executed; 403, as from Amazon for an expired access token (Commerce: 401)
    "broken_json",  # executed; the answer is cut off in the middle of its JSON
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One scripted fault: after `skip` requests of `operation`, it affects the next `times` requests.

    With `about`, it counts and affects only requests that contain this text in their address or body, such as an order
    id: one bad order among good ones.
    """

    operation: str
    kind: FaultKind
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    retry_after: int | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown fault kind {self.kind!r}; known: {', '.join(get_args(FaultKind))}")


@dataclass
class _Pending:
    fault: Fault
    skips: int
    times: int


class FaultScript:
    """The faults still to come, and how often each operation was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self.calls: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        """Add a fault. Faults of the same operation take effect in the order in which they were added."""
        with self._lock:
            self._pending.append(_Pending(fault, fault.skip, fault.times))

    def clear(self) -> None:
        """Remove all faults that are still to come."""
        with self._lock:
            self._pending.clear()

    def pending(self) -> list[dict[str, Any]]:
        """The faults still to come, as plain dicts with the remaining `skip` and `times`."""
        with self._lock:
            return [asdict(entry.fault) | {"skip": entry.skips, "times": entry.times} for entry in self._pending]

    def needs_text(self) -> bool:
        """Whether a fault still to come depends on what a request contains."""
        with self._lock:
            return any(entry.fault.about for entry in self._pending)

    def take(self, operation: str, text: str = "") -> Fault | None:
        """Count one call of `operation` and return the fault that affects it, if any. `text` is what it contains."""
        with self._lock:
            self.calls[operation] += 1
            for entry in self._pending:
                if entry.fault.operation not in (operation, "*") or entry.fault.about not in text:
                    continue
                if entry.skips:
                    entry.skips -= 1
                    return None
                entry.times -= 1
                if entry.times == 0:
                    self._pending.remove(entry)
                return entry.fault
        return None


class FaultMiddleware:
    """ASGI middleware that applies the scripted faults to requests; outermost, directly under uvicorn.

    `operation_of(method, path)` names the request's operation; None means that it never fails.
    `throttled` and `unauthorized` are the (status, JSON body) of this system's own refusals. `own_headers` are the
    headers that the system itself, as opposed to a gateway in front of it, adds to these answers.
    """

    def __init__(
        self,
        app: App,
        script: FaultScript,
        operation_of: Callable[[str, str], str | None],
        throttled: tuple[int, bytes],
        unauthorized: tuple[int, bytes],
        own_headers: Callable[[], Headers] = list,
    ) -> None:
        self.app = app
        self.script = script
        self.operation_of = operation_of
        self.throttled = throttled
        self.unauthorized = unauthorized
        self.own_headers = own_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self.operation_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        text = ""
        if operation and self.script.needs_text():
            receive, text = await _read_ahead(scope, receive)
        fault = self.script.take(operation, text) if operation else None
        await (self._fail(fault, scope, receive, send) if fault else self.app(scope, receive, send))

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "throttle":
                extra = [(b"retry-after", str(fault.retry_after).encode())] if fault.retry_after is not None else []
                await _answer(send, *self.throttled, headers=self.own_headers() + extra)
            case "expired_token":
                await _answer(send, *self.unauthorized, headers=self.own_headers())
            case "html_500":
                await _answer(send, 500, b"<html><body><h1>500 Internal Server Error</h1></body></html>", html=True)
            case "html_503":
                await _answer(send, 503, b"<html><body><h1>Down for maintenance</h1></body></html>", html=True)
            case "empty_500":
                await _answer(send, 500, b"")
            case "dropped":
                await _hang_up(send)
            case "slow":
                messages = await self._work(scope, receive)
                if not await _has_gone(receive, within=fault.seconds):
                    for message in messages:
                        await send(message)
            case "lost_reply":
                await self._work(scope, receive)
                await _hang_up(send)
            case "broken_json":
                body = b"".join(m.get("body", b"") for m in await self._work(scope, receive))
                await _answer(send, 200, body[: len(body) // 2] or b"{")

    async def _work(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        return messages


async def _read_ahead(scope: Scope, receive: Receive) -> tuple[Receive, str]:
    """What the request contains, and a `receive` that gives it once more."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    address = f"{scope['path']}?{unquote_plus(scope['query_string'].decode('latin-1'))}"
    body = b"".join(message.get("body", b"") for message in messages).decode("utf-8", "replace")

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again, address + body


async def _has_gone(receive: Receive, *, within: float) -> bool:
    """Whether the client hangs up within so many seconds."""
    try:
        async with asyncio.timeout(within):
            while (await receive())["type"] != "http.disconnect":
                pass  # what the application has not read of the request
    except TimeoutError:
        return False
    return True


async def _answer(send: Send, status: int, body: bytes, *, html: bool = False, headers: Headers | None = None) -> None:
    kind = b"text/html" if html else b"application/json"
    all_headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


async def _hang_up(send: Send) -> None:
    """Close the connection without an answer. uvicorn's `send` is a method of the object that has the transport."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0.05)  # time for uvicorn to notice that the client is gone; otherwise it would answer 500


def with_headers(app: App, own_headers: Callable[[], Headers]) -> App:
    """`app` with these headers on every answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *own_headers()]
            await send(message)

        await app(scope, receive, send_with_headers)

    return answer


def date_header(moment: datetime) -> tuple[bytes, bytes]:
    """The Date header of an answer that is given at this moment."""
    return (b"date", format_datetime(moment, usegmt=True).encode())
