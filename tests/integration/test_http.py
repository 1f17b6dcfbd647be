"""What the shared HTTP calls make of any answer, as data or as an error, and which addresses may be called."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.http import Answer, Refusal, check_base_url, exchange, open_client
from include.domain.errors import (
    MisconfiguredError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from tests.support.odd_server import Odd, Reply, odd
from tests.support.waiting import PATIENT

__all__ = ["odd"]  # fixtures: the tests name them as arguments


def ask(odd: Odd, reply: Reply, *, is_write: bool = False, **options: Any) -> Answer:
    odd.replies[:] = [reply]
    with open_client(odd.url, connection="c", timeouts=PATIENT, user_agent="tests") as client:
        return exchange(
            client,
            client.build_request("POST" if is_write else "GET", "/thing?secret=1"),
            system="commerce",
            connection="commerce_api",
            operation="thing",
            is_write=is_write,
            record=lambda call: None,
            subject="42",
            **options,
        )


JSON_BUT_NOT: list[Reply] = [
    (200, {"Content-Type": "text/html"}, b"{}"),
    (200, {}, b""),
    (200, {}, b'{"a": NaN}'),
    (200, {}, b'{"a": 1'),
    (200, {}, b"[" * 5000),
    (200, {}, b'{"a": 1e99999999999999999999}'),
    (200, {}, b'{"a": ' + b"9" * 5000 + b"}"),
    (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    (408, {}, b"{}"),
    (500, {}, b"{}"),
]


@pytest.mark.parametrize("reply", JSON_BUT_NOT)
def test_read_is_unavailable_and_write_in_doubt_when_the_answer_is_no_data(odd: Odd, reply: Reply) -> None:
    with pytest.raises(UnavailableError) as caught:
        ask(odd, reply)
    assert not isinstance(caught.value, OutcomeUnknownError)
    with pytest.raises(OutcomeUnknownError):
        ask(odd, reply, is_write=True)
    assert len(odd.seen) == 2


def test_document_is_parsed_without_floats_when_the_answer_is_json(odd: Odd) -> None:
    answer = ask(odd, (200, {"Content-Type": "application/json; charset=utf-8"}, b'{"a": 0.10, "b": 7}'))
    assert answer.document == {"a": Decimal("0.10"), "b": 7}
    assert isinstance(answer.document["a"], Decimal)
    assert ask(odd, (200, {}, b"null")).document is None
    assert ask(odd, (204, {}, b"")).document is None
    assert ask(odd, (200, {}, b""), is_empty_allowed=True).document is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed_when_the_server_redirects(odd: Odd, status: int) -> None:
    with pytest.raises(MisconfiguredError, match=r"commerce thing of 42.*redirect.*Resolution:.*commerce_api"):
        ask(odd, (status, {"Location": odd.url + "/elsewhere"}, b""))
    assert len(odd.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, MisconfiguredError),
        (403, MisconfiguredError),
        (404, NotFoundError),
        (422, RefusedError),
    ],
)
def test_error_has_its_kind_and_reason_when_the_server_refuses(odd: Odd, status: int, kind: type[Exception]) -> None:
    def explain(status: int, document: Any) -> Refusal:
        return Refusal(document["code"], "the reason")

    with pytest.raises(kind, match=r"42.*the reason.*Resolution:") as caught:
        ask(odd, (status, {}, b'{"code": "E1", "planted": "x"}'), explain=explain)
    assert "planted" not in str(caught.value) and "secret" not in str(caught.value)
    assert getattr(caught.value, "code", None) == "E1"
    with pytest.raises(kind):
        ask(odd, (status, {"Content-Type": "text/html"}, b"<html>"))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30),
        ({"Retry-After": "Sat, 21 Nov 2026 09:00:00 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 1),
        ({"Retry-After": "99999999999999999999"}, 3600),
        ({"Retry-After": "soon"}, 45),
        ({"Retry-After": "-5"}, 45),
        ({}, 45),
    ],
)
def test_error_has_the_time_to_wait_when_the_server_throttles(odd: Odd, header: dict[str, str], seconds: int) -> None:
    with pytest.raises(ThrottledError) as caught:
        ask(odd, (429, header, b""), is_write=True, default_wait=timedelta(seconds=45))
    assert caught.value.retry_after == timedelta(seconds=seconds)


# Addresses


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://sellingpartnerapi-na.amazon.com/", "https://sellingpartnerapi-na.amazon.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://localhost:1/rest/", "http://localhost:1/rest"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_address_is_accepted_when_it_may_be_called(url: str, expected: str) -> None:
    assert check_base_url(url, "amazon_sp_api") == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://sellingpartnerapi-na.amazon.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "https://planted:planted@example.com",
        "https://example.com/?planted=1",
        "https://",
        "ftp://example.com",
        "example.com",
        "/rest",
        "",
        "https://exa mple\x00.com",
    ],
)
def test_address_is_refused_when_it_is_unsafe_or_malformed(url: str) -> None:
    with pytest.raises(MisconfiguredError, match=r"amazon_sp_api.*Resolution:") as caught:
        check_base_url(url, "amazon_sp_api")
    assert "planted" not in str(caught.value)


def test_this_machine_is_called_directly_when_a_proxy_is_set(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert ask(odd, (200, {}, b"{}")).status == 200
