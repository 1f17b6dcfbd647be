"""One request to a shop's REST API, and the pages of a search: what every call of the client rests on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
import simplejson

from include.adapters.api_calls import CallRecorder
from include.adapters.commerce.auth import USER_AGENT
from include.adapters.commerce.documents import read_rows
from include.adapters.commerce.errors import explain
from include.adapters.commerce.rights import RIGHT_OF, listed, missing_rights
from include.adapters.commerce.search import PAGE_SIZE, Filter, search_query
from include.adapters.http import NotAuthorizedError, Timeouts, exchange, http_date, is_loopback, open_client
from include.domain.errors import MisconfiguredError, OutcomeUnknownError, UnavailableError

_ALL_VIEWS = "all"

Read = TypeVar("Read")


class RestClient:
    """A shop's REST API behind one Airflow connection. Threads may share it."""

    def __init__(
        self,
        *,
        host: str,
        auth: httpx.Auth,
        edition: Literal["paas", "saas"],
        connection: str,
        record: CallRecorder,
        timeouts: Timeouts,
    ) -> None:
        """`host` is the shop's base address (SaaS: with the tenant), `connection` the Airflow connection's name.

        Raises MisconfiguredError for an address that may not be called or an unknown edition.
        """
        if edition not in ("paas", "saas"):
            raise MisconfiguredError(f"Connection {connection}: unknown edition. Resolution: use paas or saas.")
        self._client = open_client(host, connection=connection, timeouts=timeouts, user_agent=USER_AGENT)
        self._client.auth = auth
        self.is_local = is_loopback(self._client.base_url.host)  # a stand-in for a shop
        self._edition = edition
        self._connection = connection
        self._record = record
        self.shop_time: datetime | None = None  # the shop's clock when it answered last, UTC
        self._turns: AbstractContextManager[object] = nullcontext()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def use_connections(self, most: int) -> None:
        """Send at most so many requests at the same time from now on; threads wait for their turn."""
        self._turns = threading.Semaphore(max(most, 1))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _search(
        self,
        operation: str,
        path: str,
        groups: Sequence[Sequence[Filter]],
        fields: str,
        read: Callable[[Any], Read],
        *,
        scope: str = _ALL_VIEWS,
        key: str = "entity_id",
        subject: str = "",
    ) -> list[Read]:
        """Every hit once, by ascending id."""
        found: dict[int, Read] = {}
        for page in self.pages(operation, path, groups, fields, read, scope=scope, key=key, subject=subject):
            found.update(page)
        return [found[entity_id] for entity_id in sorted(found)]

    def pages(
        self,
        operation: str,
        path: str,
        groups: Sequence[Sequence[Filter]],
        fields: str,
        read: Callable[[Any], Read],
        *,
        scope: str = _ALL_VIEWS,
        key: str = "entity_id",
        subject: str = "",
    ) -> Iterator[dict[int, Read]]:
        """The hits of each page of a search, by id.

        Commerce repeats its last page for ever: `total_count` says when to stop.
        """
        query = search_query(groups, fields)
        seen: set[int] = set()
        page, total = 1, 1
        while (page - 1) * PAGE_SIZE < total:
            numbered = [*query, ("searchCriteria[currentPage]", str(page))]
            document = self._send(operation, "GET", path, scope=scope, query=numbered, subject=subject)

            def read_page(document: Any) -> tuple[int, dict[int, Read]]:
                rows = read_rows(document["items"] or [])
                return int(document["total_count"]), {int(row[key]): read(row) for row in rows}

            total, hits = self._read(operation, read_page, document, subject=subject)
            if hits.keys() <= seen:  # the count is wrong, or hits went away meanwhile
                break
            yield hits
            seen |= hits.keys()
            page += 1

    def _send(
        self,
        operation: str,
        method: Literal["GET", "POST", "PUT"],
        path: str,
        *,
        scope: str = _ALL_VIEWS,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | bytes | None = None,
        subject: str = "",
        personal: Collection[str] | None = None,
    ) -> Any:
        """Send one request to a store view (`scope`) and return the JSON of its answer. Its right is in RIGHT_OF.

        `personal`: see errors.explain.
        """
        if operation not in RIGHT_OF:
            raise LookupError(f"{operation} is not in rights.RIGHT_OF")
        is_saas = self._edition == "saas"
        url = f"V1/{path}" if is_saas else f"rest/{scope}/V1/{path}"
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="")
        headers = {"Store": scope} if is_saas else {}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = body if isinstance(body, bytes) else simplejson.dumps(body, use_decimal=True).encode()
        request = self._client.build_request(method, url, headers=headers, content=content)
        try:
            with self._turns:
                answer = exchange(
                    self._client,
                    request,
                    system="commerce",
                    connection=self._connection,
                    operation=operation,
                    is_write=method != "GET",
                    record=self._record,
                    subject=subject,
                    explain=lambda status, document: explain(status, document, personal),
                )
        except NotAuthorizedError as error:
            status, document = error.answer.status, error.answer.document
            rights = missing_rights(operation, document)
            raise NotAuthorizedError(
                f"Commerce refused {operation} ({status}: {explain(status, document, personal).reason}). "
                f"Resolution: check that the integration behind the connection {self._connection} has the right "
                f"{listed(rights)}; if it has, check the credentials in the connection and this machine's clock.",
                error.answer,
                error.code,
            ) from None
        self.shop_time = http_date(answer.headers.get("Date", ""))
        return answer.document

    def _read(
        self,
        operation: str,
        read: Callable[[Any], Read],
        document: Any,
        *,
        is_write: bool = False,
        subject: str = "",
    ) -> Read:
        try:
            return read(document)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            # No cause and no values: they could hold personal data.
            what = f"commerce {operation}" + (f" of {subject}" if subject else "")
            if is_write:
                raise OutcomeUnknownError(
                    f"{what}: the answer is not what was asked for; whether it was done is unknown. "
                    "Resolution: it is looked up before it is sent again."
                ) from None
            raise UnavailableError(
                f"{what}: the answer is not what was asked for. Resolution: it is tried again; if it stays so, check "
                f"that the connection {self._connection} points at a Commerce REST API of the right edition."
            ) from None
