"""Amazon's Selling Partner API: token, searchOrders, getOrder, confirmShipment, and the way of every other call.

The calls of the Feeds API are in feeds.py.

Paths, parameters and plans: orders_2026-01-01.json and ordersV0.json of github.com/amzn/selling-partner-api-models.
Token: https://developer-docs.amazon.com/sp-api/docs/connecting-to-the-selling-partner-api (checked 2026-11).
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from include.adapters.amazon.contract import parse_moment
from include.adapters.amazon.document_store import DocumentStore
from include.adapters.amazon.errors import LOGIN_REMEDIES, explain, explain_login
from include.adapters.amazon.order_state import ORDER_STATE_DATA, read_order_state
from include.adapters.amazon.rate_limits import RateLimiter
from include.adapters.amazon.requests import IMPORT_DATA
from include.adapters.api_calls import CallRecorder
from include.adapters.http import (
    Answer,
    NotAuthorizedError,
    Timeouts,
    exchange,
    http_date,
    is_loopback,
    open_client,
    rate_limit,
)
from include.domain.amazon_packages import AmazonOrderState
from include.domain.errors import ForbiddenError, MisconfiguredError, RefusedError, ThrottledError, UnavailableError

USER_AGENT = "amazon-commerce-orders/0.1.0 (Language=Python)"

_ORDERS = "/orders/2026-01-01/orders"
_EARLY_REFRESH_SECONDS = 60
_TOKEN = re.compile(r"[!-~]{1,4096}")
_PAGE_TOKEN = re.compile(r"[ -~]{0,10000}")


@dataclass(frozen=True)
class Plan:
    """An operation's published usage plan: requests per second and size of the bucket."""

    operation: str
    rate: Decimal
    burst: Decimal


_SEARCH_ORDERS = Plan("searchOrders", Decimal("0.0056"), Decimal(20))
_GET_ORDER = Plan("getOrder", Decimal("0.5"), Decimal(30))
_CONFIRM_SHIPMENT = Plan("confirmShipment", Decimal(2), Decimal(10))


@dataclass(frozen=True)
class OrdersPage:
    """One page of searchOrders. `orders` are Amazon's documents, personal data included: never log them.

    `next_token` is None on the last page; `updated_before` is the upper bound that Amazon reports, `fetched_at`
    the moment of the answer; both are Amazon's clock, UTC.
    """

    orders: list[Any] = field(repr=False)
    next_token: str | None = field(repr=False)
    updated_before: datetime | None
    request_id: str | None
    fetched_at: datetime


@dataclass(frozen=True)
class _AccessToken:
    value: str = field(repr=False)
    usable_until: float  # of time.monotonic()


class _TokenSlot:
    """The token of one application and seller. Its lock lets one thread ask while the others wait for the answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: _AccessToken | None = None


_slots: dict[tuple[str, str, str], _TokenSlot] = {}
_slots_lock = threading.Lock()


def _slot(token_url: str, client_id: str, refresh_token: str) -> _TokenSlot:
    key = (token_url, client_id, hashlib.sha256(refresh_token.encode()).hexdigest())
    with _slots_lock:
        return _slots.setdefault(key, _TokenSlot())


class AmazonClient:
    """One account's way to Amazon. Access tokens are shared by all clients of the process with the same credentials.

    Every method may raise UnavailableError (no usable answer), ThrottledError (Amazon's or our own limit) and
    MisconfiguredError (credentials, rights, address). Nothing is sent twice, except once more after a 401 or 403 with a
    fresh token: Amazon answers 403 to an expired one.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        token_url: str,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        account_name: str,
        region: str,
        connection: str,
        limiter: RateLimiter,
        record: CallRecorder,
        timeouts: Timeouts,
        user_agent: str = USER_AGENT,
    ) -> None:
        """`connection` is the name of the Airflow connection, for messages and records. Opens no connection yet.

        Raises MisconfiguredError for a missing credential or an address that may not be called.
        """
        credentials = {"client_id": client_id, "client_secret": client_secret, "refresh_token": refresh_token}
        missing = [name for name, value in credentials.items() if not value]
        if missing:
            raise MisconfiguredError(
                f"Connection {connection}: {', '.join(missing)} is missing. Resolution: set it in the extra."
            )
        self._credentials = credentials
        self._account_name = account_name
        self._region = region
        self._connection = connection
        self._limiter = limiter
        self._record = record
        self.documents = DocumentStore(account_name, connection, record, timeouts, user_agent)
        self._api = open_client(endpoint, connection=connection, timeouts=timeouts, user_agent=user_agent)
        self.is_local = is_loopback(self._api.base_url.host)  # a stand-in for Amazon
        self._login = open_client(token_url, connection=connection, timeouts=timeouts, user_agent=user_agent)
        self._token_url = token_url
        self._slot = _slot(token_url, client_id, refresh_token)
        self._clock: tuple[datetime, float] | None = None  # Amazon's time, and time.monotonic() when it was read

    def __enter__(self) -> AmazonClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        self._api.close()
        self._login.close()

    def server_time(self) -> datetime:
        """Amazon's clock, UTC: the Date header of the latest answer and the time since then.

        Asks for a token when this client has had no answer yet. Windows end by this clock, not by the worker's: Amazon
        refuses an end less than two minutes before its own now.
        """
        if self._clock is None:
            with self._slot.lock:
                self._slot.token = self._ask_for_token()
        if self._clock is None:
            raise UnavailableError("amazon token: the answer has no Date header, Amazon's time is unknown.")
        moment, read_at = self._clock
        return moment + timedelta(seconds=time.monotonic() - read_at)

    def search_orders(self, query: Mapping[str, str], pagination_token: str | None, *, keep: int = 0) -> OrdersPage:
        """One page of the listing. `query` is from `search_query` and the same for all pages of a window.

        Leaves at least `keep` request tokens to others. Raises RefusedError (code InvalidInput) when Amazon rejects the
        parameters or the token, ForbiddenError when it refuses one of the marketplaces.
        """
        parameters = dict(query)
        if pagination_token is not None:
            parameters["paginationToken"] = pagination_token
        answer = self.call(_SEARCH_ORDERS, self._api.build_request("GET", _ORDERS, params=parameters), keep=keep)
        document = answer.document
        if not isinstance(document, dict) or not isinstance(document.get("orders"), list):
            raise self.no_data(_SEARCH_ORDERS, answer, "a list of orders")
        pagination = document.get("pagination") or {}
        next_token = pagination.get("nextToken") if isinstance(pagination, dict) else pagination
        if not (next_token is None or (isinstance(next_token, str) and _PAGE_TOKEN.fullmatch(next_token))):
            raise self.no_data(_SEARCH_ORDERS, answer, "a readable pagination")
        return OrdersPage(
            orders=document["orders"],
            next_token=next_token or None,
            updated_before=_moment_or_none(document.get("lastUpdatedBefore") or document.get("createdBefore")),
            request_id=answer.request_id,
            fetched_at=self.server_time(),
        )

    def get_order(self, amazon_order_id: str) -> AmazonOrderState:
        """One order's status and packages. Raises NotFoundError when Amazon does not know the order."""
        request = self._api.build_request(
            "GET",
            f"{_ORDERS}/{quote(amazon_order_id, safe='')}",
            params={"includedData": ",".join(ORDER_STATE_DATA)},
        )
        answer = self.call(_GET_ORDER, request, subject=amazon_order_id)
        try:
            return read_order_state(answer.document["order"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self.no_data(_GET_ORDER, answer, "an order") from None

    def read_order(self, amazon_order_id: str, *, keep: int = 0) -> OrdersPage:
        """One order as the listing shows it: a page of one. Leaves at least `keep` request tokens to others.

        Raises NotFoundError when Amazon does not know the order.
        """
        request = self._api.build_request(
            "GET",
            f"{_ORDERS}/{quote(amazon_order_id, safe='')}",
            params={"includedData": ",".join(sorted(IMPORT_DATA))},
        )
        answer = self.call(_GET_ORDER, request, subject=amazon_order_id, keep=keep)
        order = answer.document.get("order") if isinstance(answer.document, dict) else None
        if not isinstance(order, dict) or order.get("orderId") != amazon_order_id:
            raise self.no_data(_GET_ORDER, answer, "the order that was asked for")
        return OrdersPage([order], None, None, answer.request_id, self.server_time())

    def confirm_shipment(self, amazon_order_id: str, body: Mapping[str, Any]) -> None:
        """Tell Amazon about one package; `body` is from `shipment_confirmation`.

        The same packageReferenceId again replaces the package, so that a repeat does no harm. A return is not yet
        proof: Amazon's own reads show the package minutes later. Raises RefusedError (4xx) and OutcomeUnknownError.
        """
        request = self._api.build_request(
            "POST", f"/orders/v0/orders/{quote(amazon_order_id, safe='')}/shipmentConfirmation", json=dict(body)
        )
        self.call(_CONFIRM_SHIPMENT, request, subject=amazon_order_id, is_write=True)

    def request(self, method: str, path: str, **parts: Any) -> httpx.Request:
        """A request for `call`; `parts` as httpx takes them: params, json."""
        return self._api.build_request(method, path, **parts)

    def call(
        self, plan: Plan, request: httpx.Request, *, subject: str = "", is_write: bool = False, keep: int = 0
    ) -> Answer:
        """One operation of Amazon's API, within its plan and with a token."""
        token = self._token()
        try:
            return self._send(plan, request, token, subject, is_write, keep)
        except NotAuthorizedError:
            token = self._token(rejected=token)
        try:
            return self._send(plan, request, token, subject, is_write, keep=0)  # half done: the reserve may go into it
        except NotAuthorizedError as error:
            self._keep_time(error.answer)
            kind = ForbiddenError if error.answer.status == 403 else MisconfiguredError
            raise kind(
                f"amazon {plan.operation} of account {self._account_name}: refused with {error.answer.status} although "
                f"the token is fresh (request {error.answer.request_id or 'without id'}). Resolution: check that the "
                f"seller's authorization behind the connection {self._connection} still stands, that the application "
                f"has the roles for orders, and that region {self._region} and the marketplaces are the seller's."
            ) from None

    def _send(
        self, plan: Plan, request: httpx.Request, token: _AccessToken, subject: str, is_write: bool, keep: int
    ) -> Answer:
        self._limiter.take(plan.operation, plan.rate, plan.burst, keep=keep)
        request.headers["x-amz-access-token"] = token.value
        request.headers["x-amz-date"] = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            answer = exchange(
                self._api,
                request,
                system="amazon",
                connection=self._connection,
                operation=plan.operation,
                is_write=is_write,
                record=self._record,
                subject=subject,
                explain=explain,
                default_wait=timedelta(seconds=max(1, round(1 / plan.rate))),
                is_empty_allowed=is_write,
            )
        except ThrottledError as error:
            self._limiter.block(plan.operation, error.retry_after)
            raise
        self._keep_time(answer)
        rate = rate_limit(answer.headers)
        if rate is not None:
            self._limiter.learn(plan.operation, rate)
        return answer

    def _token(self, rejected: _AccessToken | None = None) -> _AccessToken:
        """The shared token; a new one when it is about to expire or is the `rejected` one."""
        with self._slot.lock:
            token = self._slot.token
            if token is None or token == rejected or time.monotonic() >= token.usable_until:
                token = self._slot.token = self._ask_for_token()
            return token

    def _ask_for_token(self) -> _AccessToken:
        asked_at = time.monotonic()
        form = {"grant_type": "refresh_token", **self._credentials}
        try:
            answer = exchange(
                self._login,
                self._login.build_request("POST", self._token_url, data=form),
                system="amazon",
                connection=self._connection,
                operation="token",
                is_write=False,  # a token that was made and lost does no harm
                record=self._record,
                explain=explain_login,
            )
        except (NotAuthorizedError, RefusedError) as error:
            remedy = LOGIN_REMEDIES.get(error.code, "check token_url, client_id, client_secret and refresh_token")
            raise MisconfiguredError(
                f"amazon token for account {self._account_name}: refused ({error.code}). Resolution: {remedy}, in the "
                f"connection {self._connection}."
            ) from None
        self._keep_time(answer)
        document = answer.document if isinstance(answer.document, dict) else {}
        value, life = document.get("access_token"), document.get("expires_in")
        if not (isinstance(value, str) and _TOKEN.fullmatch(value) and type(life) is int and life > 0):
            raise UnavailableError("amazon token: the answer holds no usable token. Resolution: it is tried again.")
        return _AccessToken(value, asked_at + life - _EARLY_REFRESH_SECONDS)

    def _keep_time(self, answer: Answer) -> None:
        moment = http_date(answer.headers.get("Date", ""))
        if moment is not None:
            self._clock = (moment, time.monotonic())

    def no_data(self, plan: Plan, answer: Answer, wanted: str) -> UnavailableError:
        """What to raise when an answer lacks what it must have."""
        return UnavailableError(
            f"amazon {plan.operation} of account {self._account_name}: the answer lacks {wanted} (request "
            f"{answer.request_id or 'without id'}). Resolution: it is tried again; if it stays so, ask Amazon."
        )


def _moment_or_none(text: Any) -> datetime | None:
    try:
        return parse_moment(text) if isinstance(text, str) else None
    except ValueError:
        return None
