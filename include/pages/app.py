"""The Recent Orders page, a FastAPI app that Airflow mounts: a request comes in, a page of orders goes out.

A mounted app inherits no access check from Airflow (https://github.com/apache/airflow/pull/72655), so each route here,
the style sheet included, stands behind the check that the caller passes in.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from include.adapters.personal_data import PersonalDataCipher
from include.domain.errors import MisconfiguredError
from include.pages import presentation
from include.pages.problems import BAD_LINK, REFUSALS, Problem, database_problem, setup_problem
from include.pages.queries import Cursor, Filters, OrderPage, OrderRow, Overview, read_overview, read_page

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
LONGEST_PAGE = 500  # rows; a page is rendered in memory

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# Text that PostgreSQL can compare: no NUL.
FilterText = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True)
class PageSource:
    """Where the page reads: an engine of the role `orders_ui`, rows per page, the Fernet keys of the buyers' names."""

    engine: Engine
    page_size: int
    pii_keys: list[str]


def create_app(*, require_access: Callable[..., object], open_source: Callable[[], PageSource]) -> FastAPI:
    """The app. `require_access` is a FastAPI dependency that raises unless the caller may see orders.

    `open_source` is called at the first request, and again until it succeeds; it may raise MisconfiguredError.
    """
    app = FastAPI(
        title="Recent Orders",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(require_access)],
    )
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {
        "date_text": presentation.date_text,
        "money_text": presentation.money_text,
        "status_tone": presentation.status_tone,
        "link_or_none": presentation.link_or_none,
        "statuses": list(presentation.STATUS_TONES),
        "dash": presentation.DASH,
    }
    source = _Once(open_source)

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/")
    def show_recent_orders(
        store: FilterText = "", status: FilterText = "", before: FilterText = "", after: FilterText = ""
    ) -> HTMLResponse:
        filters = Filters(store, status)
        where = {"before": _cursor(before), "after": _cursor(after)}
        opened = source.get()
        with opened.engine.connect() as connection:
            overview = read_overview(connection)
            page = read_page(connection, filters, min(max(opened.page_size, 1), LONGEST_PAGE), **where)
        names, names_notice = _buyer_names(page.rows, opened.pii_keys)
        context = _context(overview, page, filters, is_first=not (before or after))
        return HTMLResponse(
            templates.get_template("recent_orders.html").render(context, names=names, names_notice=names_notice)
        )

    @app.get("/style.css")
    def show_style() -> Response:
        return Response((HERE / "style.css").read_bytes(), media_type="text/css")

    @app.get("/frame.js")
    def show_script() -> Response:
        return Response((HERE / "frame.js").read_bytes(), media_type="text/javascript")

    def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> HTMLResponse:
        return HTMLResponse(templates.get_template("problem.html").render(problem=problem), problem.status, headers)

    @app.exception_handler(DBAPIError)
    async def database_failed(_: Request, error: DBAPIError) -> HTMLResponse:
        # Never the statement and its parameters.
        log.error("recent_orders: the orders database failed: %s: %s", type(error.orig).__name__, error.orig)
        return answer(database_problem(error))

    @app.exception_handler(MisconfiguredError)
    async def misconfigured(_: Request, error: MisconfiguredError) -> HTMLResponse:
        log.error("recent_orders: %s", error)
        return answer(setup_problem(error))

    @app.exception_handler(RequestValidationError)
    async def bad_link(_: Request, __: RequestValidationError) -> HTMLResponse:
        return answer(BAD_LINK)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        problem = REFUSALS.get(error.status_code)
        return answer(problem, error.headers) if problem else await http_exception_handler(request, error)

    return app


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


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from None


def _buyer_names(rows: list[OrderRow], pii_keys: list[str]) -> tuple[dict[str, str], str]:
    """The names of the buyers by Amazon order id, and a notice if some cannot be read. Kept for one answer only."""
    tokens = {row.amazon_order_id: row.contact_encrypted for row in rows if row.contact_encrypted is not None}
    if not tokens:
        return {}, ""
    try:
        cipher = PersonalDataCipher(pii_keys)
    except MisconfiguredError:
        return {}, "Buyers' names cannot be shown: ORDERS_PII_KEYS is missing or wrong on Airflow's API server."
    names: dict[str, str] = {}
    unreadable = 0
    for amazon_order_id, token in tokens.items():
        try:
            names[amazon_order_id] = presentation.buyer_name(cipher.decrypt(token))
        except MisconfiguredError:
            unreadable += 1
    if not unreadable:
        return names, ""
    return names, (
        f"The buyers' names of {unreadable} {'order' if unreadable == 1 else 'orders'} on this page cannot be "
        "decrypted: a key is missing from ORDERS_PII_KEYS on Airflow's API server."
    )


def _context(overview: Overview, page: OrderPage, filters: Filters, *, is_first: bool) -> dict[str, Any]:
    def link(**parameters: object) -> str:
        given = {"store": filters.store, "status": filters.status, **parameters}
        # "." when nothing is left: an empty address would keep the parameters of the page that is open.
        query = urlencode({name: value for name, value in given.items() if value})
        return f"?{query}" if query else "."

    return {
        "overview": overview,
        "rows": page.rows,
        "filters": filters,
        "is_first": is_first,
        "newest_link": link(),
        "newer_link": link(after=page.newer) if page.newer else None,
        "older_link": link(before=page.older) if page.older else None,
        "blocked": [
            (store_name, count, link(store=store_name, status="Error"))
            for store_name, count in overview.blocked_counts.items()
        ],
    }
