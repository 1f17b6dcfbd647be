"""The Feeds API of the local Amazon over HTTP, and the store of its documents, whose addresses need no token."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from local.sandbox.amazon.errors import invalid
from local.sandbox.amazon.state import AmazonState
from local.sandbox.seeds import AmazonApplication

_BASE = "/feeds/2021-06-30"
FEED_OPERATIONS = (
    ("POST", re.compile(_BASE + "/documents"), "createFeedDocument"),
    ("GET", re.compile(_BASE + r"/documents/[^/]+"), "getFeedDocument"),
    ("POST", re.compile(_BASE + "/feeds"), "createFeed"),
    ("GET", re.compile(_BASE + "/feeds"), "getFeeds"),
    ("GET", re.compile(_BASE + r"/feeds/[^/]+"), "getFeed"),
    ("PUT", re.compile(r"/sandbox-documents/[^/]+"), "uploadFeedDocument"),
    ("GET", re.compile(r"/sandbox-documents/[^/]+"), "downloadFeedDocument"),
)


def add_feed_routes(
    app: FastAPI,
    state: AmazonState,
    admit: Callable[[AmazonState, Request, str], AmazonApplication],
    rate_header: Callable[[str], dict[str, str]],
    on_change: Callable[[], None],
) -> None:
    """Add the routes. `admit` checks token and rate limit of an operation; `on_change` is called after a change."""

    @app.post(_BASE + "/documents")
    async def create_feed_document(request: Request) -> JSONResponse:
        application = admit(state, request, "createFeedDocument")
        body = await _json(request)
        with state.with_feeds() as (feeds, now):
            document_id, path = feeds.add_document(application.seller_id, body.get("contentType"), now)
        on_change()
        answer = {"feedDocumentId": document_id, "url": _address(request, path)}
        return JSONResponse(answer, 201, rate_header("createFeedDocument"))

    @app.get(_BASE + "/documents/{document_id}")
    async def get_feed_document(request: Request, document_id: str) -> JSONResponse:
        application = admit(state, request, "getFeedDocument")
        with state.with_feeds() as (feeds, now):
            document_id, path = feeds.open_document(application.seller_id, document_id, now)
        on_change()
        answer = {"feedDocumentId": document_id, "url": _address(request, path)}
        return JSONResponse(answer, headers=rate_header("getFeedDocument"))

    @app.post(_BASE + "/feeds")
    async def create_feed(request: Request) -> JSONResponse:
        application = admit(state, request, "createFeed")
        body = await _json(request)
        with state.with_feeds() as (feeds, now):
            feed_id = feeds.create(application.seller_id, application.marketplace_ids, body, now)
        on_change()
        return JSONResponse({"feedId": feed_id}, 202, rate_header("createFeed"))

    @app.get(_BASE + "/feeds")
    async def get_feeds(request: Request) -> JSONResponse:
        application = admit(state, request, "getFeeds")
        with state.with_feeds() as (feeds, now):
            answer = feeds.listed(application.seller_id, dict(request.query_params), now)
        return JSONResponse(answer, headers=rate_header("getFeeds"))

    @app.get(_BASE + "/feeds/{feed_id}")
    async def get_feed(request: Request, feed_id: str) -> JSONResponse:
        application = admit(state, request, "getFeed")
        with state.with_feeds() as (feeds, now):
            answer = feeds.one(application.seller_id, feed_id, now)
        return JSONResponse(answer, headers=rate_header("getFeed"))

    @app.put("/sandbox-documents/{document_id}")
    async def upload(request: Request, document_id: str) -> Response:
        content = await request.body()
        with state.with_feeds() as (feeds, now):
            feeds.put_content(document_id, _signature(request), request.headers.get("content-type", ""), content, now)
        on_change()
        return Response(status_code=200)

    @app.get("/sandbox-documents/{document_id}")
    async def download(request: Request, document_id: str) -> Response:
        with state.with_feeds() as (feeds, now):
            content = feeds.content(document_id, _signature(request), now)
        return Response(content, media_type="text/xml")


def _signature(request: Request) -> str:
    return request.query_params.get("X-Amz-Signature", "")


def _address(request: Request, path: str) -> str:
    return f"{str(request.base_url).rstrip('/')}{path}"


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("The request body is not a JSON object.")
    return body
