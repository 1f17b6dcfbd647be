"""Fills in and submits the forms of a page as a browser without scripts does."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


@dataclass
class Form:
    """One form: where it goes, and its fields as the page has filled them in."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self._select = self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get")))
        elif tag == "input":
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        elif tag == "select":
            self._select = values["name"]
        elif tag == "option" and (self._select not in self.forms[-1].fields or "selected" in values):
            self.forms[-1].fields[self._select] = values["value"]
        elif tag == "a":
            self._link = values.get("href", "")

    def handle_data(self, data: str) -> None:
        if self._link:
            self.links.setdefault(data.strip(), self._link)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = ""


class Browser:
    """Shows one page at a time, beginning with `address`."""

    def __init__(self, address: str) -> None:
        self.page = _request("get", address)

    def click(self, text: str) -> None:
        """Follow the link with this text. Raises KeyError."""
        self.page = _request("get", urljoin(str(self.page.url), self._read().links[text]))

    def submit(self, *, action: str = "", **fields: str) -> None:
        """Submit the form whose action contains `action`, with these fields changed. Raises KeyError for others."""
        (form,) = [form for form in self._read().forms if action in form.action]
        if unknown := set(fields) - set(form.fields):
            raise KeyError(f"The form has no field {unknown}")
        address = urljoin(str(self.page.url), form.action or str(self.page.url))
        self.page = _request(form.method, address, form.fields | fields)

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.page.text)
        return reader


def _request(method: str, address: str, data: dict[str, str] | None = None) -> httpx.Response:
    return httpx.request(method, address, data=data, follow_redirects=True, trust_env=False)
