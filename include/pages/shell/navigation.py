"""The pages, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from include.pages.shell.page import Page

# A new page is a package with page.py (its PAGE and routes), queries.py and a template, and a line here.
PACKAGES = ("include.pages.recent_orders",)


def load_pages(packages: Sequence[str] = PACKAGES) -> list[Page]:
    """The pages of these packages."""
    return [import_module(f"{package}.page").PAGE for package in packages]
