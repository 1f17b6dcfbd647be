"""Recent Orders: filters and a place in the table come in, one page of orders goes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from include.domain.statuses import SHOWN_STATUSES
from include.pages.recent_orders.freshness import read_freshness
from include.pages.recent_orders.queries import Cursor, Filters, read_overview, read_page
from include.pages.shell.buyers import read_buyer_names
from include.pages.shell.page import Page, Source, render

PAGE = Page(title="Recent Orders", path="/", folder=Path(__file__).parent)
LONGEST_PAGE = 500  # rows; a page is rendered in memory

# Text that PostgreSQL can compare: no NUL.
FilterText = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


@PAGE.router.get("/")
def show_recent_orders(
    request: Request,
    source: Source,
    store: FilterText = "",
    status: FilterText = "",
    before: FilterText = "",
    after: FilterText = "",
) -> HTMLResponse:
    """One page of the table, below `before` or above `after`, or the newest orders."""
    filters = Filters(store, status)
    place = {"before": _cursor(before), "after": _cursor(after)}
    with source.engine.connect() as connection:
        freshness = read_freshness(connection)
        overview = read_overview(connection)
        orders = read_page(connection, filters, min(max(source.page_size, 1), LONGEST_PAGE), **place)
    tokens = {row.amazon_order_id: row.contact_encrypted for row in orders.rows if row.contact_encrypted is not None}
    names, names_notice = read_buyer_names(tokens, source.pii_keys)
    return render(
        request,
        PAGE,
        "recent_orders.html",
        freshness=freshness,
        overview=overview,
        orders=orders,
        filters=filters,
        # Whatever is filtered is offered too, so that the form shows it.
        stores=_with(overview.stores, filters.store),
        statuses=_with([*SHOWN_STATUSES, *(word for word in overview.statuses if word not in SHOWN_STATUSES)], status),
        names=names,
        names_notice=names_notice,
        newest_link=_link(filters),
        newer_link=_link(filters, after=orders.newer) if orders.newer else "",
        older_link=_link(filters, before=orders.older) if orders.older else "",
        blocked=[(name, count, _link(Filters(name, "Error"))) for name, count in overview.blocked_counts.items()],
    )


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError:
        raise HTTPException(400) from None


def _link(filters: Filters, **place: Cursor) -> str:
    given = {"store": filters.store, "status": filters.status, **place}
    # "." when nothing is left: an empty address would keep the parameters of the page that is open.
    query = urlencode({name: value for name, value in given.items() if value})
    return f"?{query}" if query else "."


def _with(offered: list[str], chosen: str) -> list[str]:
    return offered if not chosen or chosen in offered else [*offered, chosen]
