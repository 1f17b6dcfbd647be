"""The local Commerce over HTTP: Magento's REST routes under /rest, admin pages under /admin, controls under /sandbox.

Paths and shapes: Adobe's OpenAPI document 2.4.9 (PaaS). The addressing `/rest/<store view or all>/V1/...`:
https://developer.adobe.com/commerce/webapi/rest/use-rest/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import simplejson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from local.sandbox.clock import SandboxClock
from local.sandbox.commerce.admin import add_admin_routes
from local.sandbox.commerce.auth import Gate
from local.sandbox.commerce.errors import CommerceRefusal, no_such_route, unauthorized
from local.sandbox.commerce.routes import ANONYMOUS, ROUTES, SAVE_ORDERS, Call, Route
from local.sandbox.commerce.search import trimmed
from local.sandbox.commerce.state import CommerceState
from local.sandbox.control import add_control_routes
from local.sandbox.faults import App, FaultMiddleware, FaultScript, Headers, date_header, with_headers
from local.sandbox.seeds import StoreView

_ADDRESS = re.compile(r"/rest/(?:(?!V1/)(?P<scope>[^/]+)/)?V1/(?P<path>.+?)/*")


def operation_of(method: str, path: str) -> str | None:
    """The operation of a request, for scripted faults; None outside /rest. POST /V1/orders is always `createOrder`."""
    address = _ADDRESS.fullmatch(path)
    found = _route(method, address["path"]) if address else None
    return found[0].operation if found else None


def commerce_app(state: CommerceState, clock: SandboxClock, script: FaultScript, on_change: Callable[[], None]) -> App:
    """The ASGI application for `state`. `on_change` is called after each request that may have changed it."""
    app = FastAPI(title="Local Commerce", docs_url=None, redoc_url=None, openapi_url=None)
    gate = Gate(state.seed)

    def after_clock_move() -> None:
        state.play()
        on_change()

    add_control_routes(app, clock, script, after_clock_move)
    add_admin_routes(app, state, on_change)

    @app.api_route("/rest/{rest:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    async def rest(request: Request) -> Response:
        played = state.play()
        try:
            content = await _answer(request, state, gate)
            status = 200
        except CommerceRefusal as refusal:
            content, status = refusal.body(), refusal.status
        if played or (status == 200 and request.method != "GET"):
            on_change()
        return Response(content, status, media_type="application/json")

    refused = unauthorized("Magento_Sales::sales")

    def own_headers() -> Headers:
        return [date_header(clock.now())]

    return FaultMiddleware(
        with_headers(app, own_headers),
        script,
        operation_of,
        throttled=(429, CommerceRefusal(429, "Too Many Requests").body()),
        unauthorized=(refused.status, refused.body()),
        own_headers=own_headers,
    )


async def _answer(request: Request, state: CommerceState, gate: Gate) -> bytes:
    address = _ADDRESS.fullmatch(request.url.path)
    found = _route(request.method, address["path"]) if address else None
    if address is None or found is None:
        raise no_such_route()
    route, arguments = found
    view = _view(address["scope"], state)
    query = request.query_params.multi_items()
    # The signature covers the path exactly as sent, including percent-encoding.
    url = f"{request.url.scheme}://{request.headers.get('host', '')}{request.scope['raw_path'].decode('ascii')}"
    if not gate.admits(request.method, url, query, request.headers.get("authorization", "")):
        raise unauthorized(route.resource)
    right = state.seed.save_orders_right if route.resource == SAVE_ORDERS else route.resource
    if state.rights is not None and right not in {ANONYMOUS, *state.rights}:
        raise unauthorized(right)
    body = _body(await request.body()) if request.method != "GET" else {}
    call = Call(state, view, arguments, query, body, str(request.base_url))
    with state.lock:
        return _json(trimmed(route.work(call), request.query_params.get("fields")))


def _route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groupdict()
    return None


def _view(scope: str | None, state: CommerceState) -> StoreView | None:
    """The store view in a path: None for `all`, the first one for `default` and for a path without a store view."""
    if scope == "all":
        return None
    views = state.seed.store_views
    named = next((view for view in views if view.code == scope), None)
    if named is None and scope not in (None, "default"):
        raise no_such_route()  # Magento treats an unknown code as part of the path
    return named or views[0]


def _body(content: bytes) -> dict[str, Any]:
    if not content:
        return {}
    try:
        body = simplejson.loads(content, use_decimal=True)
    except ValueError:
        raise CommerceRefusal(400, "Decoding error: \nSyntax error") from None
    return body if isinstance(body, dict) else {}


def _json(value: Any) -> bytes:
    return simplejson.dumps(_wire(value), use_decimal=True, ensure_ascii=False).encode()


def _wire(value: Any) -> Any:
    """Decimals in the format of PHP's floats: 19.9900 becomes 19.99, 20.0000 becomes 20."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value.normalize()
    if isinstance(value, Mapping):
        return {key: _wire(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_wire(entry) for entry in value]
    return value
