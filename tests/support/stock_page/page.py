"""What is asked for comes in, its line goes out."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse

from include.pages.shell.page import Page, Source, render
from tests.support.stock_page.queries import read_line

PAGE = Page(title="Stock", path="/stock/", folder=Path(__file__).parent)


@PAGE.router.get("/")
@PAGE.router.get("/{sku}")
def show_stock(request: Request, source: Source, sku: str = "", store: str = "") -> HTMLResponse:
    """The line of one SKU."""
    with source.engine.connect() as connection:
        line = read_line(connection, sku, store)
    return render(request, PAGE, "stock.html", line=line)
