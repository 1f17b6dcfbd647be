"""Reads the answers of the Recent Orders page: its rows, links and routes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import httpx
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.routing import APIRoute

KEY = Fernet.generate_key().decode()  # the page's key for personal data
SIGN_IN = "/airflow/api/v2/auth/login"

MakeClient = Callable[..., httpx.Client]
Serve = Callable[[FastAPI], httpx.Client]


def let_in() -> None:
    """An access check that everybody passes."""


def rows_of(answer: httpx.Response) -> list[list[str]]:
    """The texts of the table's cells, row by row."""
    assert answer.status_code == 200, answer.text
    body = answer.text.partition("<tbody")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr.*?>(.*?)</tr>", body, re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)] for row in rows]


def ids_of(answer: httpx.Response) -> list[str]:
    """The Amazon order ids in the table, from top to bottom."""
    return [row[1].split()[0] for row in rows_of(answer)]


def text_of(markup: str) -> str:
    """What people read of it: neither tags, nor style, nor script."""
    shown = re.sub(r"<(style|script)>.*?</\1>", "", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", shown)).split())


def link_of(answer: httpx.Response, label: str) -> str | None:
    found = re.search(rf'href="([^"]*)"[^>]*>{label}</a>', answer.text)
    return html.unescape(found[1]) if found else None


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route; the app may have no other kind of route, which would not be guarded."""
    assert all(isinstance(route, APIRoute) for route in app.routes)
    return [(method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods]
