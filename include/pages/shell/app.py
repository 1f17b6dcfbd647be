"""The app that Airflow mounts: a request comes in, a page goes out, and nobody gets one without the access check.

A mounted app inherits no access check from Airflow (https://github.com/apache/airflow/pull/72655), so every route here
stands behind the check that the caller passes in. Style and script are part of each answer: a page that refuses is
readable too, and there is no file to guard.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from include.domain.errors import MisconfiguredError
from include.pages.shell import formatting, problems
from include.pages.shell.navigation import PACKAGES, load_pages
from include.pages.shell.page import Page, PageSource

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
STYLE = (HERE / "style.css").read_text(encoding="utf-8")
SCRIPT = (HERE / "frame.js").read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hash_of(STYLE)}; script-src {_hash_of(SCRIPT)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    *,
    require_access: Callable[..., object],
    open_source: Callable[[], PageSource],
    sign_in_url: str,
    packages: Sequence[str] = PACKAGES,
) -> FastAPI:
    """The app. `require_access` is a FastAPI dependency that raises unless the caller may see orders.

    `open_source` is called at the first request, and again until it succeeds; it may raise MisconfiguredError.
    """
    app = FastAPI(
        title="Orders",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(require_access)],
    )
    pages = load_pages(packages)
    app.state.source = _Once(open_source)
    app.state.pages = pages
    app.state.templates = _templates(pages)
    for page in pages:
        app.include_router(page.router, prefix=page.path.rstrip("/"))

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    def answer(problem: problems.Problem, headers: Mapping[str, str] | None = None) -> HTMLResponse:
        template = app.state.templates.get_template("problem.html")
        return HTMLResponse(template.render(problem=problem, sign_in_url=sign_in_url), problem.status, headers)

    @app.exception_handler(DBAPIError)
    async def database_failed(_: Request, error: DBAPIError) -> HTMLResponse:
        # Never the statement and its parameters.
        log.error("pages: the orders database failed: %s: %s", type(error.orig).__name__, error.orig)
        return answer(problems.database_problem(error))

    @app.exception_handler(MisconfiguredError)
    async def misconfigured(_: Request, error: MisconfiguredError) -> HTMLResponse:
        log.error("pages: %s", error)
        return answer(problems.setup_problem(error))

    @app.exception_handler(RequestValidationError)
    async def bad_link(_: Request, __: RequestValidationError) -> HTMLResponse:
        return answer(problems.BAD_LINK)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return answer(problems.refusal(error.status_code), error.headers)

    return app


def _templates(pages: Sequence[Page]) -> Environment:
    templates = Environment(
        loader=FileSystemLoader([HERE, *(page.folder for page in pages)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Files of ours, and their hashes are in the policy.
    templates.globals |= {"style": Markup(STYLE), "script": Markup(SCRIPT)}
    templates.filters |= {
        "count": formatting.count_text,
        "date": formatting.date_text,
        "money": formatting.money_text,
        "tone": formatting.status_tone,
        "web_link": formatting.link_or_none,
    }
    return templates


class _Once:
    """Opens the source at the first call that succeeds; several threads may ask at once."""

    def __init__(self, open_source: Callable[[], PageSource]) -> None:
        self._open = open_source
        self._lock = threading.Lock()
        self._source: PageSource | None = None

    def get(self) -> PageSource:
        with self._lock:
            if self._source is None:
                self._source = self._open()
            return self._source
