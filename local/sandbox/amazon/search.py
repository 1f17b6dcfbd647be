"""The parameter rules and the paging of searchOrders: a raw query string comes in, a checked search goes out.

Rules: orders_2026-01-01.json, operation searchOrders. Where the model leaves something open, this server is strict: a
repeated or unknown parameter is refused, so that a typo in a client does not pass as "no filter".
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from local.sandbox.amazon.errors import Refusal, invalid, unauthorized

TWO_MINUTES = timedelta(minutes=2)
TOKEN_LIFE = timedelta(hours=24)
STATUSES = frozenset(
    ("PENDING_AVAILABILITY", "PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED", "CANCELLED", "UNFULFILLABLE")
)
FULFILLED_BY = frozenset(("MERCHANT", "AMAZON"))
INCLUDED_DATA = frozenset(
    (
        "BUYER",
        "RECIPIENT",
        "PROCEEDS",
        "EXPENSE",
        "PROMOTION",
        "CANCELLATION",
        "FULFILLMENT",
        "PACKAGES",
        "TAX",
        "PAYMENT",
        "FULFILLMENT_ORDERS",
    )
)
_MAY_CHANGE = frozenset(("paginationToken", "maxResultsPerPage", "includedData"))
_TIMES = ("createdAfter", "createdBefore", "lastUpdatedAfter", "lastUpdatedBefore")
_KNOWN = _MAY_CHANGE | frozenset(("fulfillmentStatuses", "marketplaceIds", "fulfilledBy", *_TIMES))


def parse_time(text: str) -> datetime:
    """An ISO 8601 time as aware UTC; a time without a zone is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """An aware time as Amazon writes it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Search:
    """A checked searchOrders request. `after` and `before` (inclusive, UTC) limit the time named by `family`."""

    family: str  # created | lastUpdated
    after: datetime
    before: datetime
    statuses: frozenset[str] | None
    fulfilled_by: frozenset[str] | None
    marketplace_ids: frozenset[str] | None
    page_size: int
    included: frozenset[str]
    position: tuple[datetime, str] | None  # time and id of the last order on the previous page
    frozen: dict[str, str]  # the parameters that later pages must repeat, exactly as sent

    def page(self, documents: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[datetime, str] | None]:
        """The orders of this page, oldest first, and the position for the next token (None: this is the last page).

        Keyset paging: an order that changes between two pages moves past `before` and so into the next window. None is
        lost.
        """
        rows = sorted((self._key(document), document) for document in documents if self._matches(document))
        if self.position is not None:
            rows = [row for row in rows if row[0] > self.position]
        page = rows[: self.page_size]
        return [document for _, document in page], page[-1][0] if len(rows) > len(page) else None

    def _key(self, document: dict[str, Any]) -> tuple[datetime, str]:
        return parse_time(document[f"{self.family}Time"]), document["orderId"]

    def _matches(self, document: dict[str, Any]) -> bool:
        fulfillment = document.get("fulfillment", {})
        return (
            self.after <= self._key(document)[0] <= self.before
            and (self.statuses is None or fulfillment.get("fulfillmentStatus") in self.statuses)
            and (self.fulfilled_by is None or fulfillment.get("fulfilledBy") in self.fulfilled_by)
            and (self.marketplace_ids is None or document["salesChannel"].get("marketplaceId") in self.marketplace_ids)
        )


def parse_search(raw_query: str, own_marketplaces: tuple[str, ...], seller_id: str, now: datetime) -> Search:
    """Check a searchOrders query string against all rules. Raises Refusal (400, or 403 for a foreign marketplace)."""
    raw = _raw_parameters(raw_query)
    text = {name: unquote_plus(value) for name, value in raw.items()}
    frozen = {name: value for name, value in raw.items() if name not in _MAY_CHANGE}
    family, after, before = _window(text, now)
    marketplace_ids = _list(text, "marketplaceIds")
    if marketplace_ids is not None:
        if len(marketplace_ids) > 50:
            raise invalid("marketplaceIds: at most 50 marketplaces are allowed.")
        if not marketplace_ids <= set(own_marketplaces):
            raise unauthorized("The seller does not participate in every marketplace of marketplaceIds.")
    position = None
    if "paginationToken" in text:
        position, before = _read_token(text["paginationToken"], frozen, seller_id, now)
    return Search(
        family=family,
        after=after,
        before=before,
        statuses=_list(text, "fulfillmentStatuses", STATUSES),
        fulfilled_by=_list(text, "fulfilledBy", FULFILLED_BY),
        marketplace_ids=marketplace_ids,
        page_size=_page_size(text.get("maxResultsPerPage", "100")),
        included=parse_included(text),
        position=position,
        frozen=frozen,
    )


def parse_get_order(raw_query: str) -> frozenset[str]:
    """The includedData of a getOrder query string, which allows nothing else. Raises Refusal (400)."""
    raw = _raw_parameters(raw_query)
    if not set(raw) <= {"includedData"}:
        raise invalid("getOrder takes no query parameter but includedData.")
    return parse_included({name: unquote_plus(value) for name, value in raw.items()})


def parse_included(text: dict[str, str]) -> frozenset[str]:
    """The includedData of decoded parameters; none given means none included. Raises Refusal (400)."""
    return _list(text, "includedData", INCLUDED_DATA) or frozenset()


def page_token(search: Search, position: tuple[datetime, str], seller_id: str, now: datetime) -> str:
    """The opaque token of the page after `position`. It contains all it needs, so it survives a restart."""
    content = {
        "seller": seller_id,
        "issued": now.isoformat(),
        "before": search.before.isoformat(),
        "after": [position[0].isoformat(), position[1]],
        "frozen": search.frozen,
    }
    # Real tokens contain characters that break a carelessly built URL. These always contain all three of them.
    return "/+" + base64.b64encode(json.dumps(content).encode()).decode() + "="


def _read_token(
    token: str, frozen: dict[str, str], seller_id: str, now: datetime
) -> tuple[tuple[datetime, str], datetime]:
    try:
        if not (token.startswith("/+") and token.endswith("=")):
            raise ValueError("not one of ours")
        content = json.loads(base64.b64decode(token[2:-1], validate=True))
        issued = datetime.fromisoformat(content["issued"])
        before = datetime.fromisoformat(content["before"])
        position = (datetime.fromisoformat(content["after"][0]), str(content["after"][1]))
        same_request = content["frozen"] == frozen and content["seller"] == seller_id
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
        raise invalid("paginationToken is not valid.") from None
    if now - issued > TOKEN_LIFE:
        raise invalid("paginationToken has expired; it is valid for 24 hours.")
    if not same_request:
        raise invalid(
            "All parameters except maxResultsPerPage and includedData must be the same as in the first request."
        )
    return position, before


def _raw_parameters(raw_query: str) -> dict[str, str]:
    raw: dict[str, str] = {}
    for part in raw_query.split("&") if raw_query else []:
        name, _, value = part.partition("=")
        name = unquote_plus(name)
        if name not in _KNOWN:
            raise invalid(f"Unknown parameter {name}.")
        if name in raw:
            raise invalid(f"{name} is given twice; lists are separated by commas.")
        raw[name] = value
    return raw


def _window(text: dict[str, str], now: datetime) -> tuple[str, datetime, datetime]:
    times: dict[str, datetime] = {}
    for name in _TIMES:
        if name in text:
            try:
                times[name] = parse_time(text[name])
            except ValueError:
                raise invalid(f"{name} must be in ISO 8601 format.") from None
    families = {name.removesuffix("After").removesuffix("Before") for name in times}
    if len(families) != 1:
        raise invalid("Exactly one of createdAfter and lastUpdatedAfter must be given, and the two not mixed.")
    family = families.pop()
    if f"{family}After" not in times:
        raise invalid(f"{family}Before needs {family}After.")
    latest = now - TWO_MINUTES
    after, before = times[f"{family}After"], times.get(f"{family}Before", latest)
    if before > latest:
        raise invalid(f"{family}Before must be at least two minutes before the time of the request.")
    if before < after:
        raise invalid(f"{family}Before must not be before {family}After, which is at least two minutes ago.")
    return family, after, before


def _list(text: dict[str, str], name: str, allowed: frozenset[str] | None = None) -> frozenset[str] | None:
    if name not in text:
        return None
    values = text[name].split(",")
    wrong: list[str] = [value for value in values if not value or (allowed is not None and value not in allowed)]
    if wrong:
        raise invalid(f"{name} has a value that is not allowed.")
    return frozenset(values)


def _page_size(value: str) -> int:
    refused: Refusal = invalid("maxResultsPerPage must be a number from 1 to 100.")
    if not (value.isascii() and value.isdigit()):
        raise refused
    if not 1 <= int(value) <= 100:
        raise refused
    return int(value)
