"""Fetches what happened in Commerce to the linked orders: new and changed shipments, and orders that have ended.

The same searches notice a second Commerce order for an Amazon order, such as one that Commerce committed late, and an
order that somebody has canceled, refunded or deleted in Commerce although Amazon still expects it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import simplejson
from sqlalchemy import Connection, Engine, Row

from include.adapters.canonical_json import sha256_of
from include.adapters.commerce.changes import (
    changed_shipments,
    new_and_ended_orders,
    orders_for,
    orders_with_ids,
    shipments_of,
    shipments_there,
)
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder, CommerceShipment
from include.adapters.commerce.search import batches
from include.database.statements import load_statements
from include.domain.errors import MisconfiguredError, OrdersError, RefusedError, ThrottledError, UnavailableError
from include.outbox.shipment_findings import record_deleted_shipments, shipments_of_orders
from include.outbox.shop_findings import orders_with_findings, record_findings, suspects
from include.outbox.stock_release import release_ended_orders
from include.outbox.work_loop import LoopReport, summary
from include.settings import Settings

log = logging.getLogger(__name__)

# The sweep's portion: five calls of fifty orders.
SWEPT_PER_RUN = 250
# How far back a shop's changes are read the first time; the sweep finds what is older.
_FIRST_LOOK = timedelta(days=1)
# Failed calls of one search or sweep, while the shop answers others, after which the rest is left to the next run.
_MOST_FAILURES = 40

Part = TypeVar("Part")
Page = TypeVar("Page")
Span = tuple[datetime, datetime | None]  # changed since, and before; None: no end
Orders = Sequence[Row[Any]]


def run(
    engine: Engine, commerce: Callable[[str], CommerceClient], settings: Settings, *, now: datetime, dag_run_id: str
) -> dict[str, int]:
    """Land new versions of the linked orders' shipments; release the stock of orders that have ended in Commerce.

    Returns counts: orders (swept), shipments (read), new_versions, released. Each shop is searched for what changed
    since its watermark; besides, a portion of the watched orders is read by order id, which also finds tracks that
    were added later. `commerce` gives the client of a Commerce connection. What cannot be read delays only itself: the
    rest is read, then the step fails and names it.
    """
    report = LoopReport()
    report.counts.update({"orders": 0, "shipments": 0, "new_versions": 0, "released": 0})
    started = time.monotonic()

    def clock() -> datetime:
        # Two versions of a shipment that one run reads must not seem equally old.
        return now + timedelta(seconds=time.monotonic() - started)

    with engine.connect() as connection:
        shops = connection.execute(load_statements(__file__)["shops"]).all()
    for shop in shops:
        try:
            reading = _Reading(engine, commerce, shop.commerce_connection, settings, clock, dag_run_id, report)
            reading.sweep_and_search(is_connected=shop.is_connected)
        except OrdersError as error:
            log.warning("extract_commerce_shipments: %s: %s", shop.commerce_connection, error)
            report.stopped[shop.commerce_connection] = error
    log.info("extract_commerce_shipments: %s", summary(report.counts))
    report.raise_if_incomplete("extract_commerce_shipments")
    return dict(report.counts)


@dataclass(frozen=True)
class _OrderPage:
    """Commerce orders that have ended, and all that the shop has for the Amazon orders that may have a second one."""

    ended: list[str]
    found: dict[str, list[CommerceOrder]]


@dataclass
class _Reading:
    """One shop in one run."""

    engine: Engine
    commerce: Callable[[str], CommerceClient]
    shop: str
    settings: Settings
    clock: Callable[[], datetime]
    dag_run_id: str
    report: LoopReport
    failures: int = field(default=0, init=False)

    def sweep_and_search(self, *, is_connected: bool) -> None:
        """Search the shop for changes and sweep a portion of its orders. Raises OrdersError when it does not answer.

        A shop that left stores.yaml is asked only while orders of its own are watched.
        """
        with self.engine.connect() as connection:
            portion = self._portion(connection)
            flagged = orders_with_findings(connection, self.shop)
        if not (is_connected or portion or flagged):
            return
        self.client = self.commerce(self.shop)
        self._search("shipments", changed_shipments, self._land)
        self._search("orders", self._order_pages, self._keep_orders)
        self._look_again(flagged)
        self.failures = 0
        rows = {row.commerce_order_id: row for row in portion}
        for batch in batches(sorted(rows, key=int)):
            orders: Orders = [rows[order_id] for order_id in batch]
            if not self._in_halves(orders, self._sweep, _half_the_orders, self._cannot_sweep):
                break

    def _order_pages(self, client: CommerceClient, since: datetime, before: datetime | None) -> Iterator[_OrderPage]:
        for seen in new_and_ended_orders(client, since, before):
            with self.engine.connect() as connection:
                suspected = suspects(connection, self.shop, seen)
            ended = [order.order_id for order in seen if order.has_ended]
            yield _OrderPage(ended, orders_for(client, suspected) if suspected else {})

    def _keep_orders(self, connection: Connection, page: _OrderPage) -> None:
        self._release(connection, page.ended)
        record_findings(connection, page.found, **self._stamp())

    def _look_again(self, amazon_order_ids: Sequence[str]) -> None:
        """Ask for the orders that had a finding, which ends when the shop does not show it any more."""
        for batch in batches(amazon_order_ids):
            try:
                found = orders_for(self.client, batch)
            except RefusedError as error:
                self._note(f"the orders for {batch[0]} and others", error)
                continue
            with self.engine.begin() as connection:
                record_findings(connection, found, **self._stamp())

    def _search(
        self,
        name: str,
        pages: Callable[[CommerceClient, datetime, datetime | None], Iterator[Page]],
        keep: Callable[[Connection, Page], None],
    ) -> None:
        """Keep everything that changed since the watermark, page by page; then the shop's own time is the watermark."""
        self.failures = 0
        since = self._since(name)
        if since is None:
            log.warning("extract_commerce_shipments: %s sends no Date header; its changes are swept only", self.shop)
            return
        asked_at: datetime | None = None

        def read(span: Span) -> None:
            nonlocal asked_at
            for page in pages(self.client, *span):
                asked_at = asked_at or self.client.shop_time
                with self.engine.begin() as connection:
                    keep(connection, page)
            asked_at = asked_at or self.client.shop_time

        def split(span: Span) -> tuple[Span, Span] | None:
            start, end = span[0], span[1] or self.client.shop_time or span[0]
            if end - start < timedelta(seconds=2):  # Commerce's times are whole seconds
                return None
            middle = (start + (end - start) / 2).replace(microsecond=0)
            return (start, middle), (middle, span[1])

        def cannot_read(span: Span, error: OrdersError) -> None:
            # The watermark goes on all the same: the sweep comes to every watched order.
            self._note(f"{name} that changed at {span[0]:%Y-%m-%d %H:%M:%S}", error)

        whole: Span = (since.replace(microsecond=0), None)
        if self._in_halves(whole, read, split, cannot_read) and asked_at is not None:
            values = {"commerce_connection": self.shop, "name": name, "watermark": asked_at}
            with self.engine.begin() as connection:
                connection.execute(load_statements(__file__)["advance"], values | self._stamp())

    def _since(self, name: str) -> datetime | None:
        """Where a search begins, by the shop's own clock; None when that is not known."""
        with self.engine.connect() as connection:
            rows = connection.execute(load_statements(__file__)["watermarks"], {"commerce_connection": self.shop})
            watermark: datetime | None = {row.name: row.watermark for row in rows}.get(name)
        if watermark is not None:
            return watermark - self.settings.shipment_overlap
        if self.client.shop_time is None:
            self.client.probe()
        return None if self.client.shop_time is None else self.client.shop_time - _FIRST_LOOK

    def _in_halves(
        self,
        part: Part,
        read: Callable[[Part], None],
        split: Callable[[Part], tuple[Part, Part] | None],
        cannot_read: Callable[[Part, OrdersError], None],
    ) -> bool:
        """Read `part`; if that fails although the shop answers, read its halves, down to the one thing that fails.

        False: it failed so often that the rest is left to the next run.
        """
        try:
            read(part)
        except (MisconfiguredError, ThrottledError):
            raise
        except OrdersError as error:
            if isinstance(error, UnavailableError):
                self.client.probe()
            self.failures += 1
            if self.failures > _MOST_FAILURES:
                self._note("too many failures", error)
                return False
            halves = split(part)
            if halves is None:
                cannot_read(part, error)
                return True
            return all(self._in_halves(half, read, split, cannot_read) for half in halves)
        return True

    def _sweep(self, rows: Orders) -> None:
        """Read the shipments of these orders, and whether they have ended or are gone; then they queue up again."""
        to_ship = [row.commerce_order_id for row in rows if row.is_shippable]
        holding = {row.commerce_order_id: row.amazon_order_id for row in rows if row.holds_stock}
        shipments = shipments_of(self.client, to_ship) if to_ship else []
        seen = orders_with_ids(self.client, list(holding)) if holding else []
        ended = [order.order_id for order in seen if order.has_ended]
        missing = holding.keys() - {order.order_id for order in seen}
        # Asked for once more, in another way: an order is not deleted because one answer lacks it.
        found = orders_for(self.client, sorted(holding[one] for one in missing)) if missing else {}
        known = self._known_shipments(to_ship)
        unseen = sorted(known - {shipment.commerce_shipment_id for shipment in shipments})
        deleted = sorted(set(unseen) - shipments_there(self.client, unseen)) if unseen else []
        there = {order.order_id for orders in found.values() for order in orders}
        statements = load_statements(__file__)
        with self.engine.begin() as connection:
            self._land(connection, shipments)
            self._release(connection, [*ended, *(missing - there)])
            record_findings(connection, found, **self._stamp())
            watched = [row.amazon_order_id for row in rows if not row.is_last_time]
            last = [row.amazon_order_id for row in rows if row.is_last_time]
            record_deleted_shipments(connection, self.shop, watched, deleted, **self._stamp())
            record_deleted_shipments(connection, self.shop, last, [], **self._stamp())  # nobody looks at them again
            self._mark_swept(connection, rows)
            connection.execute(statements["end_watch"], {"order_ids": last})
        self.report.counts["orders"] += len(rows)

    def _known_shipments(self, commerce_order_ids: Sequence[str]) -> set[str]:
        with self.engine.connect() as connection:
            return set(shipments_of_orders(connection, self.shop, commerce_order_ids))

    def _cannot_sweep(self, rows: Orders, error: OrdersError) -> None:
        """One order that cannot be read goes to the end of the queue, like those that can."""
        with self.engine.begin() as connection:
            self._mark_swept(connection, rows)
        self._note(f"order {rows[0].amazon_order_id} (Commerce order {rows[0].commerce_order_id})", error)

    def _land(self, connection: Connection, shipments: Sequence[CommerceShipment]) -> None:
        if not shipments:
            return
        documents = [shipment.document for shipment in shipments]
        values = {
            "commerce_connection": self.shop,
            "commerce_shipment_id": [shipment.commerce_shipment_id for shipment in shipments],
            "commerce_order_id": [shipment.commerce_order_id for shipment in shipments],
            "payload_sha256": [sha256_of(document) for document in documents],
            "payload": [simplejson.dumps(document, use_decimal=True) for document in documents],
            "fetched_at": self.clock(),
            "dag_run_id": self.dag_run_id,
        }
        landed = connection.execute(load_statements(__file__)["land_shipments"], values).rowcount
        self.report.counts["shipments"] += len(shipments)
        self.report.counts["new_versions"] += landed

    def _release(self, connection: Connection, commerce_order_ids: Sequence[str]) -> None:
        if commerce_order_ids:
            released = release_ended_orders(connection, self.shop, commerce_order_ids, **self._stamp())
            self.report.counts["released"] += released

    def _portion(self, connection: Connection) -> Orders:
        values = {
            "commerce_connection": self.shop,
            "completed_after": self.clock() - self.settings.shipment_watch,
            "portion": SWEPT_PER_RUN,
        }
        return connection.execute(load_statements(__file__)["orders_to_sweep"], values).all()

    def _mark_swept(self, connection: Connection, rows: Orders) -> None:
        values = {"order_ids": [row.amazon_order_id for row in rows], "now": self.clock()}
        connection.execute(load_statements(__file__)["mark_swept"], values)

    def _note(self, what: str, error: OrdersError) -> None:
        log.warning("extract_commerce_shipments: %s: %s: %s", self.shop, what, error)
        self.report.stopped[f"{self.shop}, {what}"] = error

    def _stamp(self) -> dict[str, Any]:
        return {"now": self.clock(), "dag_run_id": self.dag_run_id}


def _half_the_orders(rows: Orders) -> tuple[Orders, Orders] | None:
    middle = len(rows) // 2
    return (rows[:middle], rows[middle:]) if middle else None
