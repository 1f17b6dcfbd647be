"""The control routes under /sandbox/ of both servers: clock, faults, call counts, health. See docs/sandbox.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from local.sandbox.clock import SandboxClock
from local.sandbox.faults import Fault, FaultScript


def add_control_routes(app: FastAPI, clock: SandboxClock, script: FaultScript, on_change: Callable[[], None]) -> None:
    """Add the control routes to a sandbox server. `on_change` is called after the clock was moved.

    The answer to a body that is not the expected JSON is 400 with `{"error": ...}`.
    """

    @app.get("/sandbox/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/sandbox/clock")
    async def read_clock() -> dict[str, str]:
        return {"now": clock.now().isoformat()}

    @app.post("/sandbox/clock")
    async def advance_clock(request: Request) -> JSONResponse:
        try:
            seconds = float((await _fields(request))["advance_seconds"])
            now = clock.advance(timedelta(seconds=seconds))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            return _refused(error)
        on_change()
        return JSONResponse({"now": now.isoformat()})

    @app.get("/sandbox/faults")
    async def pending_faults() -> list[dict[str, Any]]:
        return script.pending()

    @app.post("/sandbox/faults")
    async def add_fault(request: Request) -> JSONResponse:
        try:
            script.add(Fault(**await _fields(request)))
        except (ValueError, TypeError) as error:
            return _refused(error)
        return JSONResponse({"pending": script.pending()}, status_code=201)

    @app.delete("/sandbox/faults")
    async def clear_faults() -> dict[str, list[Any]]:
        script.clear()
        return {"pending": []}

    @app.get("/sandbox/calls")
    async def calls() -> dict[str, int]:
        return dict(script.calls)


async def _fields(request: Request) -> dict[str, Any]:
    fields = await request.json()
    if not isinstance(fields, dict):
        raise TypeError("the body must be a JSON object")
    return fields


def _refused(error: Exception) -> JSONResponse:
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)
