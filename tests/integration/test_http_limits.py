"""Answers have limits: in size, in time, in how they are encoded; what breaks one is no usable answer."""

from __future__ import annotations

import gzip
import resource
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from include.adapters.api_calls import ApiCall
from include.adapters.commerce.auth import build_auth
from include.adapters.commerce.client import CommerceClient
from include.adapters.http import Answer, Timeouts, exchange, open_client
from include.adapters.transport import LARGEST_ANSWER, BoundedTransport, proxy_for
from include.domain.errors import MisconfiguredError, OutcomeUnknownError, ThrottledError, UnavailableError
from tests.support.odd_server import Odd, Raw, Reply, odd, raw
from tests.support.waiting import PATIENT

__all__ = ["odd", "raw"]  # fixtures: the tests name them as arguments

MB = 2**20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def ask(
    url: str,
    *,
    is_write: bool = False,
    timeouts: Timeouts = PATIENT,
    record: Callable[[ApiCall], Any] = lambda call: None,
) -> Answer:
    with open_client(url, connection="c", timeouts=timeouts, user_agent="tests") as client:
        return exchange(
            client,
            client.build_request("POST" if is_write else "GET", "/thing"),
            system="commerce",
            connection="commerce_api",
            operation="thing",
            is_write=is_write,
            record=record,
            subject="42",
        )


def refused(url: str, cause: str, **options: Any) -> None:
    """Both ways: a read is unavailable, the outcome of a write is unknown."""
    with pytest.raises(UnavailableError, match=rf"commerce thing of 42: .*{cause}.*Resolution:") as caught:
        ask(url, **options)
    assert type(caught.value) is UnavailableError
    with pytest.raises(OutcomeUnknownError, match=cause):
        ask(url, is_write=True, **options)


@cache
def bomb(layers: int = 1, megabytes: int = 256) -> bytes:
    """gzip of so many megabytes of spaces, made without holding them; further layers around it."""
    packer = zlib.compressobj(9, wbits=31)
    content = b"".join(packer.compress(b" " * MB) for _ in range(megabytes)) + packer.flush()
    for _ in range(layers - 1):
        content = gzip.compress(content, 9)
    return content


def packed(content: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(content) + packer.flush()


# Size


def peak_of(call: Callable[[], object]) -> tuple[float, float]:
    """The most megabytes that Python held during `call`, and by how much the process's peak in memory grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        call()
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return held / MB, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def test_answer_is_refused_without_much_memory_when_it_expands_a_thousandfold(odd: Odd) -> None:
    odd.replies[:] = [(200, {"Content-Encoding": "gzip"}, bomb())]
    assert len(odd.replies[0][2]) < MB
    held, grown = peak_of(lambda: refused(odd.url, "larger than 32 MB", timeouts=Timeouts(2, 5)))
    assert held < 3 * LARGEST_ANSWER / MB
    assert grown < 4 * LARGEST_ANSWER / MB


def test_answer_is_not_unpacked_when_it_is_packed_twice(odd: Odd) -> None:
    content = bomb(layers=2)
    assert len(content) < 2000
    for header in ("gzip, gzip", "gzip,deflate", "identity, gzip, x-gzip"):
        odd.replies[:] = [(200, {"Content-Encoding": header}, content)]
        held, _ = peak_of(lambda: refused(odd.url, "not asked for"))
        assert held < 5


def test_reading_stops_at_the_limit_when_the_answer_never_ends(raw: Raw) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        for _ in range(128):
            yield b"100000\r\n" + b" " * MB + b"\r\n"

    raw.answer = endless
    held, _ = peak_of(lambda: refused(raw.url, "larger than 32 MB", timeouts=Timeouts(2, 5)))
    assert held < 3 * LARGEST_ANSWER / MB


def test_answer_is_accepted_when_it_is_as_large_as_allowed(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedTransport.__init__, "__kwdefaults__", {"largest": 1000})
    fits, too_large = b'"' + b"x" * 998 + b'"', b'"' + b"x" * 999 + b'"'
    for encoding, pack in {"identity": bytes, "gzip": gzip.compress}.items():
        headers = {"Content-Encoding": encoding}
        odd.replies[:] = [(200, headers, pack(fits))]
        assert ask(odd.url).document == "x" * 998
        odd.replies[:] = [(200, headers, pack(too_large))]
        refused(odd.url, "larger than")


# Encoding


@pytest.mark.parametrize(
    ("header", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("identity, gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda content: packed(content, -15)),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_answer_is_read_when_it_has_one_encoding(odd: Odd, header: str, pack: Callable[[bytes], bytes]) -> None:
    odd.replies[:] = [(200, {"Content-Encoding": header}, pack(b'{"a": "' + b"b" * 100_000 + b'"}'))]
    answer = ask(odd.url)
    assert answer.document == {"a": "b" * 100_000}


UNREADABLE: list[Reply] = [
    (200, {"Content-Encoding": "br"}, b"{}"),
    (200, {"Content-Encoding": "gzip"}, b"{}"),
    (200, {"Content-Encoding": "deflate"}, b"{}"),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}" * 99)[:-9]),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}") + b"more"),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}") + gzip.compress(b" ")),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(gzip.compress(b"{}"))),
]


@pytest.mark.parametrize("reply", UNREADABLE)
def test_answer_is_refused_when_it_cannot_be_decoded(odd: Odd, reply: Reply) -> None:
    odd.replies[:] = [reply]
    refused(odd.url, "cannot be decoded|not asked for|without readable JSON")


def test_answer_is_empty_when_nothing_follows_its_headers(odd: Odd) -> None:
    odd.replies[:] = [(204, {"Content-Encoding": "gzip"}, b"")]
    assert ask(odd.url).document is None


def test_call_is_recorded_with_its_status_when_the_answer_breaks_a_limit(odd: Odd) -> None:
    calls: list[ApiCall] = []
    odd.replies[:] = [(200, {"Content-Encoding": "br"}, b"{}")]
    with pytest.raises(UnavailableError):
        ask(odd.url, record=calls.append)
    assert [(call.operation, call.status_code) for call in calls] == [("thing", 200)]


def test_request_accepts_gzip_only_when_it_is_sent(raw: Raw) -> None:
    raw.answer = lambda: iter([HEAD + b"Content-Length: 2\r\n\r\n{}"])
    ask(raw.url)
    assert b"\r\nAccept-Encoding: gzip\r\n" in raw.requests[0]


# Time: what comes is always in time for the next bytes, and never complete.


def drip(start: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def answer() -> Iterator[bytes]:
        yield start
        for _ in range(100):  # three seconds, so that a missing limit fails the test and does not hang it
            time.sleep(0.03)
            yield piece

    return answer


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (HEAD, b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"Content-Length: 99999\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1", b"0"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (HEAD + b"\r\n", b" "),
    ],
    ids=["status", "header", "headers", "continue", "body", "chunks", "chunk-size", "trailers", "until-close"],
)
def test_call_ends_in_time_when_the_answer_trickles_in(raw: Raw, start: bytes, piece: bytes) -> None:
    raw.answer = drip(start, piece)
    for is_write, kind in ((False, UnavailableError), (True, OutcomeUnknownError)):
        started = time.monotonic()
        with pytest.raises(kind) as caught:
            ask(raw.url, is_write=is_write, timeouts=Timeouts(connect=2, read=5, total=0.4))
        assert time.monotonic() - started < 2
        assert type(caught.value) is kind


def test_error_says_so_when_the_answer_trickles_in(raw: Raw) -> None:
    raw.answer = drip(HEAD + b"Content-Length: 99999\r\n\r\n", b" ")
    refused(raw.url, r"not complete after 0\.3 s", timeouts=Timeouts(connect=2, read=5, total=0.3))


def test_client_can_be_used_again_when_an_answer_broke_a_limit(odd: Odd) -> None:
    odd.replies[:] = [(200, {"Content-Encoding": "br"}, b"{}"), (200, {}, b"{}")]
    with open_client(odd.url, connection="c", timeouts=PATIENT, user_agent="tests") as client:
        with pytest.raises(httpx.RequestError):
            client.get("/thing")
        assert client.get("/thing").json() == {}


# Adobe's tokens


def ims(url: str) -> dict[str, str]:
    return {
        "auth": "ims",
        "token_url": url,
        "client_id": "app",
        "client_secret": "planted-secret",
        "org_id": "o@AdobeOrg",
    }


def shop(token_url: str, host: str, calls: list[ApiCall], timeouts: Timeouts = PATIENT) -> CommerceClient:
    auth = build_auth(ims(token_url), "commerce_api", record=calls.append, timeouts=timeouts)
    return CommerceClient(
        host=host, auth=auth, edition="saas", connection="commerce_api", record=calls.append, timeouts=timeouts
    )


def test_ims_token_stays_on_this_machine_when_a_proxy_is_set(
    odd: Odd, raw: Raw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, raw.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    calls: list[ApiCall] = []
    token = b'{"access_token": "t", "expires_in": 3600}'
    odd.replies[:] = [(200, {}, token), (200, {}, b'{"items": [], "total_count": 0}')]
    with shop(f"{odd.url}/token", odd.url, calls) as client:
        assert client.products("default", ["x"]) == {}
    assert odd.seen[0] == "/token"
    assert raw.requests == []
    assert [(call.system_code, call.connection, call.operation, call.status_code) for call in calls] == [
        ("commerce", "commerce_api", "imsToken", 200),
        ("commerce", "commerce_api", "searchProducts", 200),
    ]
    assert "planted-secret" not in caplog.text


def test_ims_token_goes_through_a_tunnel_when_the_proxy_is_for_others(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", raw.url)
    monkeypatch.setenv("NO_PROXY", "")
    raw.answer = lambda: iter([b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"])
    client = shop("https://ims.example/token", "https://shop.example", [])
    with client, pytest.raises(UnavailableError, match="commerce_api"):
        client.products("default", ["x"])
    assert raw.requests[0].startswith(b"CONNECT ims.example:443 ")
    assert b"planted-secret" not in b"".join(raw.requests)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((400, {}, b'{"error": "invalid_client"}'), MisconfiguredError),
        ((404, {}, b"{}"), MisconfiguredError),
        ((302, {"Location": "https://elsewhere.example"}, b""), MisconfiguredError),
        ((429, {"Retry-After": "3"}, b"{}"), ThrottledError),
        ((503, {}, b""), UnavailableError),
        ((200, {"Content-Encoding": "gzip, gzip"}, b""), UnavailableError),
        ((200, {}, b'{"access_token": "t", "expires_in": "soon"}'), UnavailableError),
    ],
)
def test_error_has_its_kind_when_no_ims_token_is_given(odd: Odd, reply: Reply, kind: type[Exception]) -> None:
    odd.replies[:] = [reply]
    calls: list[ApiCall] = []
    with shop(f"{odd.url}/token", odd.url, calls) as client, pytest.raises(kind, match="commerce_api") as caught:
        client.products("default", ["x"])
    assert type(caught.value) is kind
    assert "planted" not in str(caught.value)
    assert [(call.operation, call.status_code) for call in calls] == [("imsToken", reply[0])]
    assert odd.seen == ["/token"]


def test_call_ends_in_time_when_a_refusal_of_its_token_never_ends(raw: Raw, odd: Odd) -> None:
    odd.replies[:] = [(200, {}, b'{"access_token": "t"}')]
    raw.answer = drip(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 99999\r\n\r\n", b" ")
    started = time.monotonic()
    with shop(f"{odd.url}/token", raw.url, [], Timeouts(2, 5, 0.3)) as client, pytest.raises(UnavailableError):
        client.products("default", ["x"])
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://api.example", "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://api.example", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://api.example", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "https://api.example", None),
        ({}, "https://api.example", None),
    ],
)
def test_proxy_is_used_as_configured_when_the_environment_names_one(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(httpx.URL(url)) == proxy
