"""The state of the local Amazon: applications, tokens, orders with all their versions, and confirmed shipments."""

from __future__ import annotations

import bisect
import copy
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local.sandbox.amazon.errors import expired_token, not_found, quota_exceeded, unauthorized
from local.sandbox.amazon.feeds import Feeds
from local.sandbox.amazon.search import TWO_MINUTES, format_time, parse_time
from local.sandbox.amazon.shipments import shipment_patch
from local.sandbox.clock import SandboxClock
from local.sandbox.seeds import AmazonApplication, AmazonOrderSeed

ACCESS_TOKEN_LIFE = timedelta(hours=1)
VISIBILITY_LAG = TWO_MINUTES  # "data may lag two minutes": neither searchOrders nor getOrder shows a newer change

# Requests per second and burst of the default usage plans, from the operations' descriptions in the models.
USAGE_PLANS = {
    "searchOrders": (0.0056, 20),
    "getOrder": (0.5, 30),
    "confirmShipment": (2.0, 10),
    "createFeedDocument": (0.5, 15),
    "createFeed": (0.0083, 15),
    "getFeed": (2.0, 15),
    "getFeeds": (0.0222, 10),
    "getFeedDocument": (0.0222, 10),
}


@dataclass
class _Record:
    seller_id: str
    versions: list[dict[str, Any]]  # full order documents, oldest first


@dataclass
class _Bucket:
    tokens: float
    filled_at: datetime


@dataclass(order=True)
class _Due:
    at: datetime
    order_id: str
    patch: dict[str, Any] = field(compare=False)


class AmazonState:
    """The local Amazon's state, thread-safe. Orders change as its clock advances.

    `enforce_rate_limits=False` switches the rate limits off, for tests of other things.
    """

    def __init__(
        self,
        applications: Iterable[AmazonApplication],
        orders: Iterable[AmazonOrderSeed],
        clock: SandboxClock,
        *,
        enforce_rate_limits: bool = True,
    ) -> None:
        self.clock = clock
        self.enforce_rate_limits = enforce_rate_limits
        self.refused_marketplaces: set[str] = set()  # whoever asks for one of these gets 403
        self.confirmations: list[dict[str, Any]] = []  # accepted confirmShipment bodies, with their orderId
        self._applications = {application.client_id: application for application in applications}
        self._tokens: dict[str, tuple[str, datetime]] = {}  # access token -> client id, expiry
        self._records: dict[str, _Record] = {}
        self._changes: list[_Due] = []  # still to come, soonest first
        self._hidden: set[str] = set()
        self.feeds = Feeds()  # through `with_feeds` only, but for how the next ones end
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.RLock()
        for seed in orders:
            self.add_order(seed)

    # Orders, as the tests see them

    def add_order(self, seed: AmazonOrderSeed) -> None:
        """Add an order; it exists from its `createdTime` on. Raises ValueError if its id exists already."""
        order_id = seed.order["orderId"]
        with self._lock:
            if order_id in self._records:
                raise ValueError(f"the order {order_id} already exists")
            self._records[order_id] = _Record(seed.seller_id, [copy.deepcopy(seed.order)])
            for change in seed.changes:
                bisect.insort(self._changes, _Due(change.at, order_id, change.patch))

    def apply(self, order_id: str, patch: dict[str, Any]) -> None:
        """Change an order now; AmazonChange explains `patch`. Raises KeyError for an unknown order."""
        with self._lock:
            self._catch_up()
            self._add_version(order_id, patch, self.clock.now())

    def remove_line(self, order_id: str, item_id: str) -> None:
        """Leave a line out of the order from now on. Raises KeyError for an unknown order."""
        with self._lock:
            self._catch_up()
            self._add_version(order_id, {}, self.clock.now())
            newest = self._records[order_id].versions[-1]
            newest["orderItems"] = [line for line in newest["orderItems"] if line["orderItemId"] != item_id]

    def order(self, order_id: str) -> dict[str, Any]:
        """The full document as of now, including what callers cannot see yet. Raises KeyError for an unknown order."""
        with self._lock:
            self._catch_up()
            return copy.deepcopy(self._records[order_id].versions[-1])

    def order_ids(self) -> list[str]:
        """The ids of all orders, including those that are still to come."""
        with self._lock:
            return sorted(self._records)

    def hide_from_listing(self, order_id: str) -> None:
        """From now on searchOrders leaves this order out; getOrder still finds it."""
        with self._lock:
            self._hidden.add(order_id)

    # Orders, as the API sees them

    def listed(self, seller_id: str) -> list[dict[str, Any]]:
        """The visible version of each of the seller's orders. The caller must not change the documents."""
        with self._lock:
            self._catch_up()
            own = (
                (order_id, record)
                for order_id, record in self._records.items()
                if record.seller_id == seller_id and order_id not in self._hidden
            )
            visible = (self._visible(record) for _, record in own)
            return [document for document in visible if document is not None]

    def visible_order(self, seller_id: str, order_id: str) -> dict[str, Any]:
        """The version of an order that callers see now. Raises Refusal (404): unknown, too new, or another seller's."""
        with self._lock:
            self._catch_up()
            record = self._records.get(order_id)
            document = self._visible(record) if record is not None and record.seller_id == seller_id else None
            if document is None:
                raise not_found(order_id)
            return document

    def confirm_shipment(self, seller_id: str, order_id: str, body: Any) -> None:
        """Record one package of an order. Callers see it after the lag. Raises Refusal (400, 404)."""
        with self._lock:
            self._catch_up()
            now = self.clock.now()
            record = self._records.get(order_id)
            if record is None or record.seller_id != seller_id or parse_time(record.versions[0]["createdTime"]) > now:
                raise not_found(order_id)
            self._add_version(order_id, shipment_patch(record.versions[-1], body, now), now)
            self.confirmations.append({"orderId": order_id} | copy.deepcopy(body))

    # Feeds

    @contextmanager
    def with_feeds(self) -> Iterator[tuple[Feeds, datetime]]:
        """The feeds as of now, for one thread at a time."""
        with self._lock:
            self._catch_up()
            yield self.feeds, self.clock.now()

    def _cancel(self, seller_id: str, order_id: str, item_ids: set[str], at: datetime) -> str | None:
        """Cancel a whole order for its seller. Returns why not, in Amazon's words."""
        record = self._records.get(order_id)
        if record is None or record.seller_id != seller_id:
            return f"The order {order_id} does not exist for this merchant."
        newest = record.versions[-1]
        fulfillment = newest["fulfillment"]
        if fulfillment["fulfillmentStatus"] != "UNSHIPPED" or fulfillment["fulfilledBy"] != "MERCHANT":
            return f"The order {order_id} cannot be canceled in its state."
        if item_ids != {line["orderItemId"] for line in newest["orderItems"]}:
            return "An order item code is missing or not of this order."
        lines = [
            {
                "orderItemId": line["orderItemId"],
                "fulfillment": {"quantityUnfulfilled": 0},
                "cancellation": {"cancellationExecution": {"cancelledBy": "MERCHANT"}},
            }
            for line in newest["orderItems"]
        ]
        self._add_version(order_id, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}, "orderItems": lines}, at)
        return None

    # Tokens and rate limits

    def application(self, client_id: str) -> AmazonApplication | None:
        """The application with that client id."""
        return self._applications.get(client_id)

    def issue_token(self, application: AmazonApplication) -> str:
        """A new access token for the application and its seller, valid for an hour on the sandbox's clock."""
        token = f"Atza|sandbox-{secrets.token_urlsafe(24)}"
        with self._lock:
            now = self.clock.now()
            self._tokens = {known: value for known, value in self._tokens.items() if value[1] > now - ACCESS_TOKEN_LIFE}
            self._tokens[token] = (application.client_id, now + ACCESS_TOKEN_LIFE)
        return token

    def authenticate(self, token: str | None) -> AmazonApplication:
        """The application with this access token. Raises Refusal (403): missing, unknown or expired."""
        if not token:
            raise unauthorized("Access token is missing in the request header.")
        with self._lock:
            client_id, ends_at = self._tokens.get(token, ("", self.clock.now()))
            application = self._applications.get(client_id)
            if application is None:
                raise unauthorized("The access token you provided is revoked, malformed or invalid.")
            if ends_at <= self.clock.now():
                raise expired_token()
            return application

    def spend(self, application: AmazonApplication, operation: str) -> None:
        """Take one token from the application's bucket of `operation`. Raises Refusal (429) when it is empty."""
        if not self.enforce_rate_limits:
            return
        rate, burst = USAGE_PLANS[operation]
        with self._lock:
            now = self.clock.now()
            bucket = self._buckets.setdefault((application.client_id, operation), _Bucket(burst, now))
            gained = (now - bucket.filled_at).total_seconds() * rate
            bucket.tokens = min(float(burst), bucket.tokens + gained)
            bucket.filled_at = now
            if bucket.tokens < 1:
                raise quota_exceeded()
            bucket.tokens -= 1

    # Persistence

    def snapshot(self) -> dict[str, Any]:
        """Everything that a restarted server needs, ready for JSON. Token buckets are left out: they start full."""
        with self._lock:
            return {
                "records": {
                    order_id: {"seller_id": record.seller_id, "versions": copy.deepcopy(record.versions)}
                    for order_id, record in self._records.items()
                },
                "changes": [
                    {"at": change.at.isoformat(), "order_id": change.order_id, "patch": copy.deepcopy(change.patch)}
                    for change in self._changes
                ],
                "confirmations": copy.deepcopy(self.confirmations),
                "hidden": sorted(self._hidden),
                "feeds": self.feeds.snapshot(),
                "tokens": {token: [client, ends_at.isoformat()] for token, (client, ends_at) in self._tokens.items()},
            }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore the state from a `snapshot`."""
        with self._lock:
            self._records = {
                order_id: _Record(record["seller_id"], record["versions"])
                for order_id, record in snapshot["records"].items()
            }
            self._changes = [
                _Due(datetime.fromisoformat(change["at"]), change["order_id"], change["patch"])
                for change in snapshot["changes"]
            ]
            self.confirmations[:] = snapshot["confirmations"]
            self._hidden = set(snapshot["hidden"])
            self.feeds.restore(snapshot["feeds"])
            self._tokens = {
                token: (client, datetime.fromisoformat(ends_at))
                for token, (client, ends_at) in snapshot["tokens"].items()
            }

    def _catch_up(self) -> None:
        now = self.clock.now()
        while self._changes and self._changes[0].at <= now:
            change = self._changes.pop(0)
            self._add_version(change.order_id, change.patch, change.at)
        self.feeds.catch_up(now, self._cancel)

    def _add_version(self, order_id: str, patch: dict[str, Any], at: datetime) -> None:
        versions = self._records[order_id].versions
        versions.append(_merged(versions[-1], patch) | {"lastUpdatedTime": format_time(at)})

    def _visible(self, record: _Record) -> dict[str, Any] | None:
        latest = self.clock.now() - VISIBILITY_LAG
        if parse_time(record.versions[0]["createdTime"]) > latest:
            return None
        seen = (version for version in reversed(record.versions) if parse_time(version["lastUpdatedTime"]) <= latest)
        return next(seen, None)


def _merged(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = copy.deepcopy(document)
    for name, value in patch.items():
        if name == "orderItems":
            patches = {item["orderItemId"]: item for item in value}
            merged[name] = [_merged(item, patches.get(item["orderItemId"], {})) for item in document[name]]
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = copy.deepcopy(value)
    return merged
