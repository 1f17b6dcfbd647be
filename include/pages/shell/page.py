"""What a page takes from the shell: its declaration, where it reads, and how its template becomes an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlalchemy import Engine


@dataclass(frozen=True)
class PageSource:
    """Where the pages read: an engine of the role `orders_ui`, rows per page, the Fernet keys of the buyers' names."""

    engine: Engine
    page_size: int
    pii_keys: list[str]


@dataclass(frozen=True)
class Page:
    """One page: its name in the navigation, its path in the app (`/`, or `/name/`) and the folder of its template.

    Its routes go on `router`, with paths below its own.
    """

    title: str
    path: str
    folder: Path
    router: APIRouter = field(default_factory=APIRouter)


def _open_source(request: Request) -> PageSource:
    source: PageSource = request.app.state.source.get()
    return source


# A route's parameter of this type gets the source; the access check has passed by then.
Source = Annotated[PageSource, Depends(_open_source)]


def render(request: Request, page: Page, template: str, **values: object) -> HTMLResponse:
    """The answer made from a template of the page's folder, with the navigation in its layout."""
    templates: Environment = request.app.state.templates
    base = request.scope.get("root_path", "")
    links = [(other.title, base + other.path, other is page) for other in request.app.state.pages]
    return HTMLResponse(templates.get_template(template).render(values, page_title=page.title, navigation=links))
