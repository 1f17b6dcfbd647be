"""The Commerce client against a scripted server: redirects, Adobe IMS, SaaS addresses, quotes of personal data."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from include.adapters.api_calls import ApiCall
from include.adapters.commerce.auth import ImsClientCredentials, build_auth
from include.adapters.commerce.client import CommerceClient
from include.domain.errors import (
    MisconfiguredError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from tests.support.commerce_client_fixtures import AMAZON_ORDER_ID, PATIENT, calls, connect, create, sandbox, servers

__all__ = ["calls", "connect", "sandbox", "servers"]  # fixtures: the tests name them as arguments


class Scripted:
    """A local server that answers each path in turn from a script, and remembers the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], Any]]] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                scripted.requests.append((self.command, self.path, dict(self.headers.items()), body))
                queue = scripted.answers[urlsplit(self.path).path]
                status, headers, document = queue.pop(0) if len(queue) > 1 else queue[0]
                content = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps the test's output quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> list[str]:
        return [urlsplit(path).path for _, path, _, _ in self.requests]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


def test_redirect_is_not_followed_when_the_shop_redirects_a_write(
    connect: Callable[..., CommerceClient], scripted: Scripted
) -> None:
    scripted.answers["/rest/default/V1/orders"] = [(301, {"Location": f"{scripted.url}/other"}, {})]
    with pytest.raises(MisconfiguredError, match="redirect"):
        create(connect(host=scripted.url))
    assert scripted.paths() == ["/rest/default/V1/orders"]


def test_personal_data_is_removed_when_the_refusal_quotes_the_buyer(
    connect: Callable[..., CommerceClient], scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = {
        "message": 'Invalid value of "%value" provided for the %fieldName field of %unknown.',
        "parameters": {"fieldName": "telephone", "value": "0123456789"},
        "errors": [{"message": "%1 is no name: %2", "parameters": ["ADA LOVELACE", "other@example.com"]}],
    }
    scripted.answers["/rest/default/V1/orders"] = [(400, {}, refusal)]
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RefusedError) as caught:
        create(connect(host=scripted.url))
    assert caught.value.reason == 'An invalid value was given for "telephone"; [1] is no name: [2]'
    told = str(caught.value) + caplog.text
    assert not [word for word in ("lovelace", "0123456789", "other@") if word in told.casefold()]


@pytest.mark.parametrize("document", [{}, [], True, {"entity_id": 1}, {"message": "created"}])
def test_creation_is_in_doubt_when_the_answer_is_no_order(
    connect: Callable[..., CommerceClient], scripted: Scripted, document: Any
) -> None:
    scripted.answers["/rest/default/V1/orders"] = [(200, {}, document)]
    with pytest.raises(OutcomeUnknownError, match=AMAZON_ORDER_ID):
        create(connect(host=scripted.url))


@pytest.mark.parametrize("document", [{}, [], {"items": [{}], "total_count": 1}, {"items": [3], "total_count": 1}])
def test_order_search_is_unavailable_when_the_answer_is_no_listing(
    connect: Callable[..., CommerceClient], scripted: Scripted, document: Any
) -> None:
    scripted.answers["/rest/all/V1/orders"] = [(200, {}, document)]
    with pytest.raises(UnavailableError):
        connect(host=scripted.url).find_orders(ext_order_id=AMAZON_ORDER_ID)


def test_order_search_ends_when_the_count_is_too_high(
    connect: Callable[..., CommerceClient], scripted: Scripted
) -> None:
    row = {"entity_id": 1, "increment_id": "1", "store_id": 1, "grand_total": 1.1, "created_at": "2026-11-01 10:00:00"}
    scripted.answers["/rest/all/V1/orders"] = [(200, {}, {"items": [row], "total_count": 10_000})]
    [found] = connect(host=scripted.url).find_orders(ext_order_id=AMAZON_ORDER_ID)
    assert found.grand_total == Decimal("1.1")
    assert found.created_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert len(scripted.requests) == 2


def test_customer_id_is_found_when_there_is_one(connect: Callable[..., CommerceClient], scripted: Scripted) -> None:
    scripted.answers["/rest/all/V1/customers/search"] = [(200, {}, {"items": [{"id": 42}], "total_count": 1})]
    assert connect(host=scripted.url).customer_id("a+b@example.com", 3) == 42
    sent = dict(parse_qsl(urlsplit(scripted.requests[0][1]).query))
    prefix = "searchCriteria[filter_groups]"
    assert sent[f"{prefix}[0][filters][0][value]"] == "a+b@example.com"
    assert sent[f"{prefix}[1][filters][0][value]"] == "3"


def test_logs_do_not_name_the_customer_when_one_is_searched(
    connect: Callable[..., CommerceClient], scripted: Scripted, caplog: pytest.LogCaptureFixture, calls: list[ApiCall]
) -> None:
    scripted.answers["/rest/all/V1/customers/search"] = [(200, {}, {"items": [], "total_count": 0})]
    caplog.set_level(logging.INFO)
    connect(host=scripted.url).customer_id("buyer@example.com", 3)
    assert "searchCustomers" in caplog.text
    assert "buyer" not in caplog.text
    assert [(call.operation, call.status_code) for call in calls] == [("searchCustomers", 200)]


def saas(scripted: Scripted) -> dict[str, str]:
    return {
        "auth": "ims",
        "token_url": f"{scripted.url}/ims/token/v3",
        "client_id": "client",
        "client_secret": "very secret",
        "org_id": "ORG@AdobeOrg",
    }


EMPTY = (200, {}, {"items": [], "total_count": 0})
TOKENS = [(200, {}, {"access_token": f"token-{number}", "expires_in": 86_399}) for number in (1, 2, 3)]


def test_request_has_an_ims_token_when_the_edition_is_saas(
    connect: Callable[..., CommerceClient], scripted: Scripted
) -> None:
    scripted.answers = {"/ims/token/v3": [*TOKENS], "/tenant/V1/products": [EMPTY]}
    client = connect(saas(scripted), host=f"{scripted.url}/tenant", edition="saas")
    for _ in range(2):
        assert client.products("german", ["x"]) == {}
    assert scripted.paths() == ["/ims/token/v3", "/tenant/V1/products", "/tenant/V1/products"]
    form = dict(parse_qsl(scripted.requests[0][3].decode()))
    assert (form["grant_type"], form["client_id"], form["client_secret"]) == (
        "client_credentials",
        "client",
        "very secret",
    )
    assert "commerce.accs" in form["scope"].split(",")
    headers = {name.lower(): value for name, value in scripted.requests[1][2].items()}
    assert headers["authorization"] == "Bearer token-1"
    assert headers["store"] == "german"
    assert (headers["x-api-key"], headers["x-gw-ims-org-id"]) == ("client", "ORG@AdobeOrg")


def test_ims_token_is_renewed_once_when_it_is_refused(
    connect: Callable[..., CommerceClient], scripted: Scripted
) -> None:
    refused = (401, {}, {"message": "Oauth token is not valid"})
    scripted.answers = {"/ims/token/v3": [*TOKENS], "/V1/products": [refused, EMPTY, refused]}
    client = connect(saas(scripted), host=scripted.url, edition="saas")
    assert client.products("german", ["x"]) == {}
    with pytest.raises(MisconfiguredError, match="Oauth token is not valid"):
        client.products("german", ["x"])
    assert scripted.paths().count("/ims/token/v3") == 3
    assert scripted.paths().count("/V1/products") == 4


def test_ims_token_is_renewed_when_it_is_about_to_end(scripted: Scripted, calls: list[ApiCall]) -> None:
    scripted.answers = {"/ims/token/v3": [(200, {}, {"access_token": "a", "expires_in": 0}), TOKENS[0]]}
    auth = build_auth(saas(scripted), "commerce_api", record=calls.append, timeouts=PATIENT)
    assert isinstance(auth, ImsClientCredentials)
    seen = []
    for _ in range(3):
        request = httpx.Request("GET", "https://shop.example/")
        seen.append(next(auth.sync_auth_flow(request)).headers["Authorization"])
    assert seen == ["Bearer a", "Bearer token-1", "Bearer token-1"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {}, {"error": "invalid_client"}), MisconfiguredError),
        ((401, {}, {"error": "invalid_client"}), MisconfiguredError),
        ((429, {"Retry-After": "3"}, {}), ThrottledError),
        ((500, {}, {}), UnavailableError),
        ((200, {}, {"no": "token"}), UnavailableError),
        ((200, {}, ["token"]), UnavailableError),
    ],
)
def test_creation_is_not_in_doubt_when_ims_gives_no_token(
    connect: Callable[..., CommerceClient],
    scripted: Scripted,
    answer: tuple[int, dict[str, str], Any],
    error: type[OrdersError],
) -> None:
    scripted.answers = {"/ims/token/v3": [answer]}
    with pytest.raises(error, match="commerce_api") as caught:
        create(connect(saas(scripted), host=scripted.url, edition="saas"))
    # Nothing was sent to the shop: this is no doubt about an order.
    assert type(caught.value) is error
    assert "very secret" not in str(caught.value)
