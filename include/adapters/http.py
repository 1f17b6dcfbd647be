"""One HTTP exchange: a request goes out once, an answer or a typed error comes back.

No redirects, no retries: who may send again, and when, is decided by whoever knows what the request does.
URLs, headers and bodies stay out of logs and exceptions; they can hold tokens and personal data.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import logging
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from include.adapters.api_calls import ApiCall, CallRecorder
from include.adapters.transport import BoundedTransport, UnusableAnswerError, proxy_for
from include.domain.errors import (
    MisconfiguredError,
    NotFoundError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)

log = logging.getLogger(__name__)

# They log whole addresses, queries included; `exchange` logs what is worth knowing.
for _noisy in ("httpx", "httpcore", "oauthlib"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)

LONGEST_RETRY_AFTER = timedelta(hours=1)

# The request never left this machine: even a write has done nothing.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_REQUEST_ID_HEADERS = ("x-amzn-RequestId", "x-request-id")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=/+-]{1,128}")


@dataclass(frozen=True)
class Timeouts:
    """Time-outs in seconds: to reach a server, to wait for the next bytes of its answer, and for all of it."""

    connect: float
    read: float
    total: float = 120.0


@dataclass(frozen=True)
class Answer:
    """A whole answer. `document` is its JSON with Decimals instead of floats; None for 204 and allowed empty bodies."""

    status: int
    headers: httpx.Headers
    document: Any
    request_id: str | None
    duration_ms: int


class NotAuthorizedError(MisconfiguredError):
    """401 or 403. A client may look at `answer` and `code` and try a fresh token; unhandled it is a wrong setting."""

    def __init__(self, message: str, answer: Answer, code: str) -> None:
        super().__init__(message)
        self.answer = answer
        self.code = code


class Refusal(NamedTuple):
    """What a 4xx says, free of personal data: code, reason, and a cause that all refusals of one kind share."""

    code: str
    reason: str = ""
    cause: str = ""


# Takes status and parsed body (None when it is not JSON) of a 4xx.
Explain = Callable[[int, Any], Refusal]


def _explain_by_status(status: int, document: Any) -> Refusal:
    return Refusal(str(status))


def check_base_url(url: str, connection: str) -> str:
    """Return `url` without its trailing slash if it may be called; raise MisconfiguredError otherwise.

    `connection` names the Airflow connection in the message. Plain http is for loopback hosts only; credentials in the
    URL would end up in logs.
    """
    fix = f"Resolution: set the host of the connection {connection} to an https address."
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise MisconfiguredError(f"Connection {connection}: its address is not a URL. {fix}") from error
    if not parsed.host or parsed.scheme not in ("http", "https"):
        raise MisconfiguredError(f"Connection {connection}: its address has no http(s) scheme or no host. {fix}")
    if parsed.userinfo:
        raise MisconfiguredError(f"Connection {connection}: its address contains credentials. {fix}")
    if parsed.query or parsed.fragment:
        raise MisconfiguredError(f"Connection {connection}: its address contains a query or fragment. {fix}")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise MisconfiguredError(
            f"Connection {connection}: plain http is refused for {parsed.host}; only loopback may go without TLS. {fix}"
        )
    return str(parsed).rstrip("/")


@functools.cache
def _trusted_authorities() -> ssl.SSLContext:
    """Loading the list of certificate authorities takes 50 ms: once per process, for all clients."""
    return httpx.create_ssl_context()


def open_client(base_url: str, *, connection: str, timeouts: Timeouts, user_agent: str) -> httpx.Client:
    """An httpx client for one system, whose answers have limits (see transport.py).

    Raises MisconfiguredError for an address that `check_base_url` refuses.
    """
    checked = check_base_url(base_url, connection)
    url = httpx.URL(checked)
    return httpx.Client(
        base_url=checked,
        headers={"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"},
        timeout=httpx.Timeout(timeouts.read, connect=timeouts.connect),
        follow_redirects=False,
        transport=BoundedTransport(
            total=timeouts.total,
            verify=_trusted_authorities(),
            # Gateways close idle connections after about five seconds; reusing one then would make a write doubtful.
            limits=httpx.Limits(keepalive_expiry=2.0),
            # A company's proxy must not be asked for this machine.
            proxy=None if is_loopback(url.host) else proxy_for(url),
        ),
    )


def exchange(
    client: httpx.Client,
    request: httpx.Request,
    *,
    system: str,
    connection: str,
    operation: str,
    is_write: bool,
    record: CallRecorder,
    subject: str = "",
    explain: Explain = _explain_by_status,
    default_wait: timedelta = timedelta(seconds=60),
    is_empty_allowed: bool = False,
    read: Callable[[httpx.Response], Any] | None = None,
) -> Answer:
    """Send `request` once, record and log it, and return its 2xx answer.

    `subject` is the id of the order or product that the messages name; `default_wait` is the wait after a 429 that
    names none; `is_empty_allowed` accepts an empty 2xx body beside 204. `read` takes the document from an answer that
    is not JSON.

    Raises UnavailableError (nothing was sent; or a read without a usable answer), OutcomeUnknownError (a write without
    a usable answer), ThrottledError (429), NotAuthorizedError (401, 403), NotFoundError (404), RefusedError (other
    4xx), MisconfiguredError (3xx).
    """
    what = f"{system} {operation}" + (f" of {subject}" if subject else "")
    called_at = datetime.now(UTC)
    started = time.monotonic()
    try:
        response = client.send(request, follow_redirects=False)
    except httpx.RequestError as error:
        duration_ms = _milliseconds_since(started)
        status = error.status_code if isinstance(error, UnusableAnswerError) else None
        call = ApiCall(system, connection, operation, status, status == 429, None, None, duration_ms, called_at)
        _note(record, call, subject)
        if isinstance(error, UnusableAnswerError):
            raise _no_usable_answer(what, str(error), is_write) from None
        kind = type(error).__name__
        if isinstance(error, _NEVER_SENT):
            raise UnavailableError(
                f"{what}: the server was not reached ({kind}). Resolution: it is tried again; if it stays so, check "
                f"the host of the connection {connection} and the network."
            ) from None
        raise _no_usable_answer(what, f"the connection failed ({kind})", is_write) from None
    request_id = _request_id(response.headers)
    document = read(response) if read is not None and response.is_success else _parse(response)
    answer = Answer(response.status_code, response.headers, document, request_id, _milliseconds_since(started))
    _note(
        record,
        ApiCall(
            system,
            connection,
            operation,
            answer.status,
            answer.status == 429,
            rate_limit(response.headers),
            request_id,
            answer.duration_ms,
            called_at,
        ),
        subject,
    )
    if request_id:
        what += f" (request {request_id})"
    if not response.is_success:
        raise _error(answer, what, connection, is_write, explain, default_wait)
    if answer.document is _UNREADABLE:
        if not (answer.status == 204 or (is_empty_allowed and not response.content)):
            raise _no_usable_answer(what, f"{answer.status} without readable JSON", is_write)
        return Answer(answer.status, answer.headers, None, request_id, answer.duration_ms)
    return answer


def rate_limit(headers: httpx.Headers) -> Decimal | None:
    """x-amzn-RateLimit-Limit: Amazon's rate in requests per second (not a wait); None when absent or not sensible."""
    try:
        rate = Decimal(headers.get("x-amzn-RateLimit-Limit", ""))
    except InvalidOperation:
        return None
    return rate if rate.is_finite() and Decimal("0.000001") <= rate < 100_000 else None


def retry_after(headers: httpx.Headers, default: timedelta) -> timedelta:
    """Retry-After (seconds or HTTP date) between one second and one hour; `default` when absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        wait = timedelta(seconds=min(int(text[:9]), 10**6))
    elif (moment := http_date(text)) is not None:
        # Measured against the server's own clock: ours may differ.
        wait = moment - (http_date(headers.get("Date", "")) or datetime.now(UTC))
    else:
        return default
    return min(max(wait, timedelta(seconds=1)), LONGEST_RETRY_AFTER)


def http_date(text: str) -> datetime | None:
    """An HTTP date header as aware UTC datetime; None when it is not one."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Unreadable:
    """Marks a body that is empty or not JSON; None is a JSON document too."""


_UNREADABLE = _Unreadable()


def _parse(response: httpx.Response) -> Any:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.content or not (media_type == "application/json" or media_type.endswith("+json")):
        return _UNREADABLE
    try:
        return json.loads(response.content, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, InvalidOperation, RecursionError):
        return _UNREADABLE


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _error(
    answer: Answer, what: str, connection: str, is_write: bool, explain: Explain, default_wait: timedelta
) -> OrdersError:
    status = answer.status
    if status >= 500 or status == 408:  # 408: a gateway gave up; the request itself was not evaluated
        return _no_usable_answer(what, f"the server failed with {status}", is_write)
    if status == 429:
        wait = retry_after(answer.headers, default_wait)
        seconds = wait.total_seconds()
        return ThrottledError(f"{what}: throttled. Resolution: it is tried again in {seconds:.0f} s.", wait)
    if status < 400:
        return MisconfiguredError(
            f"{what}: the server answered {status}, a redirect, which is never followed. Resolution: set the host of "
            f"the connection {connection} to the address that answers itself."
        )
    document = None if answer.document is _UNREADABLE else answer.document
    code, reason, cause = explain(status, document)
    reply = f"{status} {code}" if code != str(status) else code
    reply += f": {reason}" if reason else ""
    if status in (401, 403):
        return NotAuthorizedError(
            f"{what}: not allowed ({reply}). Resolution: check credentials and rights of the connection {connection}.",
            Answer(status, answer.headers, document, answer.request_id, answer.duration_ms),
            code,
        )
    if status == 404:
        return NotFoundError(
            f"{what}: not found ({reply}). Resolution: check that it exists in this account and that the host of the "
            f"connection {connection} is right.",
            code=code,
            reason=reason,
        )
    return RefusedError(
        f"{what}: refused ({reply}). Resolution: correct what the answer names; the same request is refused again.",
        code=code,
        reason=reason,
        cause=cause,
    )


def _no_usable_answer(what: str, cause: str, is_write: bool) -> UnavailableError:
    if is_write:
        return OutcomeUnknownError(
            f"{what}: {cause}; whether it was done is unknown. Resolution: it is looked up before it is sent again."
        )
    return UnavailableError(f"{what}: {cause}. Resolution: it is tried again; if it stays so, ask its support.")


def _note(record: CallRecorder, call: ApiCall, subject: str) -> None:
    log.info(
        "%s %s%s status=%s request_id=%s ms=%d",
        call.system_code,
        call.operation,
        f" {subject}" if subject else "",
        call.status_code or "none",
        call.request_id or "none",
        call.duration_ms,
    )
    record(call)


def _request_id(headers: httpx.Headers) -> str | None:
    for name in _REQUEST_ID_HEADERS:
        value = headers.get(name, "")
        if _REQUEST_ID.fullmatch(value):
            return str(value)
    return None


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
