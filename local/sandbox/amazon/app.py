"""The local Amazon: token endpoint, searchOrders, getOrder, confirmShipment and feeds over HTTP.

Paths, answers and headers are those of orders_2026-01-01.json, ordersV0.json, feeds_2021-06-30.json and
https://developer-docs.amazon.com/sp-api/docs/connecting-to-the-selling-partner-api (token endpoint).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from local.sandbox.amazon.errors import Refusal, expired_token, invalid, quota_exceeded
from local.sandbox.amazon.feed_routes import FEED_OPERATIONS, add_feed_routes
from local.sandbox.amazon.search import format_time, page_token, parse_get_order, parse_search
from local.sandbox.amazon.state import ACCESS_TOKEN_LIFE, USAGE_PLANS, AmazonState
from local.sandbox.amazon.views import view_order
from local.sandbox.clock import SandboxClock
from local.sandbox.control import add_control_routes
from local.sandbox.faults import App, FaultMiddleware, FaultScript, Headers, date_header, with_headers
from local.sandbox.seeds import AmazonApplication

_ORDERS = "/orders/2026-01-01/orders"
_OPERATIONS = (
    ("POST", re.compile(r"/auth/o2/token"), "token"),
    ("GET", re.compile(_ORDERS), "searchOrders"),
    ("GET", re.compile(_ORDERS + r"/[^/]+"), "getOrder"),
    ("POST", re.compile(r"/orders/v0/orders/[^/]+/shipmentConfirmation"), "confirmShipment"),
    *FEED_OPERATIONS,
)


class _EscapedJson(JSONResponse):
    """JSON in ASCII: lone surrogates, which Amazon can send, exist as escapes only."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def operation_of(method: str, path: str) -> str | None:
    """The operation of a request, such as searchOrders or createFeed; None for any other request."""
    for known_method, pattern, operation in _OPERATIONS:
        if method == known_method and pattern.fullmatch(path):
            return operation
    return None


def amazon_app(state: AmazonState, clock: SandboxClock, script: FaultScript, on_change: Callable[[], None]) -> App:
    """The ASGI application for `state`. After a change, `on_change` is called before the answer is sent."""
    app = FastAPI(title="Local Amazon", docs_url=None, redoc_url=None, openapi_url=None)
    add_control_routes(app, clock, script, on_change)
    _add_token_route(app, state, on_change)
    _add_order_routes(app, state, clock, on_change)
    add_feed_routes(app, state, _admit, _rate_header, on_change)

    @app.exception_handler(Refusal)
    async def refuse(request: Request, refusal: Refusal) -> Response:
        headers = {}
        if refusal.status in (400, 404) and (operation := operation_of(request.method, request.url.path)):
            headers = _rate_header(operation)
        return Response(refusal.body(), refusal.status, headers, "application/json")

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> Response:
        refusal = Refusal(error.status_code, "InvalidInput", "The requested resource does not exist.")
        return Response(refusal.body(), refusal.status, media_type="application/json")

    def own_headers() -> Headers:
        return [
            date_header(clock.now()),
            (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
        ]

    throttled, expired = quota_exceeded(), expired_token()
    return FaultMiddleware(
        with_headers(app, own_headers),
        script,
        operation_of,
        throttled=(throttled.status, throttled.body()),
        unauthorized=(expired.status, expired.body()),
        own_headers=own_headers,
    )


def _rate_header(operation: str) -> dict[str, str]:
    return {"x-amzn-RateLimit-Limit": str(USAGE_PLANS[operation][0])} if operation in USAGE_PLANS else {}


def _add_token_route(app: FastAPI, state: AmazonState, on_change: Callable[[], None]) -> None:
    @app.post("/auth/o2/token")
    async def token(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return _token_error(400, "invalid_request", "The request must be form-encoded")
        body = (await request.body()).decode("ascii", "replace")
        fields = {name: values[0] for name, values in parse_qs(body).items() if len(values) == 1}
        if "grant_type" not in fields:
            return _token_error(400, "invalid_request", "The request is missing a required parameter : grant_type")
        if fields["grant_type"] != "refresh_token":
            return _token_error(
                400, "unsupported_grant_type", "The authorization grant type is not supported by this server"
            )
        for name in ("client_id", "client_secret", "refresh_token"):
            if name not in fields:
                return _token_error(400, "invalid_request", f"The request is missing a required parameter : {name}")
        application = state.application(fields["client_id"])
        if application is None or application.client_secret != fields["client_secret"]:
            return _token_error(401, "invalid_client", "Client authentication failed")
        if application.refresh_token != fields["refresh_token"]:
            return _token_error(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")
        answer = {
            "access_token": state.issue_token(application),
            "refresh_token": application.refresh_token,
            "token_type": "bearer",
            "expires_in": int(ACCESS_TOKEN_LIFE.total_seconds()),
        }
        on_change()
        return JSONResponse(answer, headers={"cache-control": "no-store"})


def _token_error(status: int, error: str, description: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": description}, status)


def _add_order_routes(app: FastAPI, state: AmazonState, clock: SandboxClock, on_change: Callable[[], None]) -> None:
    @app.get(_ORDERS)
    async def search_orders(request: Request) -> JSONResponse:
        application = _admit(state, request, "searchOrders")
        now = clock.now()
        own = tuple(each for each in application.marketplace_ids if each not in state.refused_marketplaces)
        search = parse_search(request.scope["query_string"].decode("latin-1"), own, application.seller_id, now)
        documents, position = search.page(state.listed(application.seller_id))
        answer: dict[str, Any] = {
            "orders": [
                view_order(document, search.included, has_pii_role=application.has_pii_role, now=now)
                for document in documents
            ],
            f"{search.family}Before": format_time(search.before),
        }
        if position is not None:
            answer["pagination"] = {"nextToken": page_token(search, position, application.seller_id, now)}
        return _EscapedJson(answer, headers=_rate_header("searchOrders"))

    @app.get(_ORDERS + "/{order_id}")
    async def get_order(request: Request, order_id: str) -> JSONResponse:
        application = _admit(state, request, "getOrder")
        included = parse_get_order(request.scope["query_string"].decode("latin-1"))
        document = state.visible_order(application.seller_id, order_id)
        order = view_order(document, included, has_pii_role=application.has_pii_role, now=clock.now())
        return JSONResponse({"order": order}, headers=_rate_header("getOrder"))

    @app.post("/orders/v0/orders/{order_id}/shipmentConfirmation")
    async def confirm_shipment(request: Request, order_id: str) -> Response:
        application = _admit(state, request, "confirmShipment")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "UnsupportedMediaType", "The request's content type must be application/json.")
        try:
            body = json.loads(await request.body())
        except ValueError:
            raise invalid("The request body is not JSON.") from None
        state.confirm_shipment(application.seller_id, order_id, body)
        on_change()
        return Response(status_code=204, headers=_rate_header("confirmShipment"))


def _admit(state: AmazonState, request: Request, operation: str) -> AmazonApplication:
    application = state.authenticate(request.headers.get("x-amz-access-token"))
    state.spend(application, operation)
    return application
