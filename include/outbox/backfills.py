"""What a backfill has read and what is left: `ops.backfills` and its windows and orders. Only writer of both tables.

Windows list orders by creation, newest first. Each page moves the backfill in the transaction that lands it, so that
it goes on where it stopped, whatever ended it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.amazon.client import OrdersPage
from include.adapters.amazon.contract import is_order_id
from include.adapters.canonical_json import sha256_of
from include.database.statements import load_statements
from include.domain.stores import Account
from include.outbox.listing_windows import ListingWindows, Window, milliseconds
from include.settings import Settings

NO_ORDER_ID = "It is no Amazon order id. Resolution: ids look like 902-1234567-1234567; ask for it anew."
GIVEN_UP = "Resolution: ask for it again in a new backfill."


@dataclass(frozen=True)
class BackfillRequest:
    """What a person asked for: a stretch of time, by creation on Amazon, or a list of orders. Times are aware, UTC."""

    account_name: str
    marketplace_ids: tuple[str, ...]
    created_from: datetime | None
    created_to: datetime | None
    amazon_order_ids: tuple[str, ...]
    create_in_commerce: bool

    @property
    def sha256(self) -> str:
        """Tells requests apart."""
        times = [moment and moment.isoformat() for moment in (self.created_from, self.created_to)]
        lists = [sorted(set(self.marketplace_ids)), sorted(set(self.amazon_order_ids))]
        return sha256_of([self.account_name, *lists, *times, self.create_in_commerce])


class Backfill(ListingWindows):
    """One backfill of an account, begun or taken up again. All times are Amazon's clock, UTC."""

    def __init__(
        self,
        engine: Engine,
        account: Account,
        settings: Settings,
        request: BackfillRequest,
        *,
        now: datetime,
        dag_run_id: str,
    ) -> None:
        super().__init__(engine, account, settings, dag_run_id)
        self._own = load_statements(__file__)
        self.request = request
        with engine.begin() as connection:
            row = self._take_up(connection) or self._begin(connection, now)
        self.backfill_id: int = row.backfill_id
        self.is_finished: bool = row.finished_at is not None
        self._keys["backfill_id"] = self.backfill_id

    def _take_up(self, connection: Connection) -> Row[Any] | None:
        return connection.execute(self._own["take_up"], self._keys | {"sha256": self.request.sha256}).one_or_none()

    def _begin(self, connection: Connection, now: datetime) -> Row[Any]:
        request = self.request
        created_from, created_to = request.created_from, request.created_to
        if created_from is not None:
            latest = self.horizon(now)
            created_to = min(milliseconds(created_to), latest) if created_to else latest
            created_from = min(milliseconds(created_from), created_to)
        values = {
            "sha256": request.sha256,
            "marketplace_ids": list(request.marketplace_ids),
            "created_from": created_from,
            "created_to": created_to,
            "create_in_commerce": request.create_in_commerce,
            "now": now,
        }
        row = connection.execute(self._own["begin"], self._keys | values).one()
        ids = sorted(set(request.amazon_order_ids))
        wrong = [each for each in ids if not is_order_id(each)]
        values = {"backfill_id": row.backfill_id, "order_ids": ids, "wrong": wrong, "problem": NO_ORDER_ID, "now": now}
        connection.execute(self._own["add_orders"], values)
        return row

    def state(self) -> Row[Any]:
        """How far it has come: the row of reporting.backfills."""
        with self._engine.connect() as connection:
            return connection.execute(self._own["state"], self._keys).one()

    def open_next(self, now: datetime, read_already: Collection[tuple[datetime, datetime]]) -> Window | None:
        """Go on with its open window, or open the next one; None when nothing is left, or Amazon covers too little.

        `read_already` are the stretches that were read before with the same client.
        """
        with self._engine.begin() as connection:
            row = connection.execute(self._own["lock"], self._keys).one()
            if row.created_from is None or (row.window_count and row.read_from <= row.created_from):
                return None
            window = self._resume(connection, "backfill", now)
            if window is not None:
                return window
            updated_from = max(row.created_from, row.read_from - self._length(connection, "backfill"))
            if (updated_from, row.read_from) in read_already:
                return None
            return self._open(connection, "backfill", row.marketplace_ids, updated_from, row.read_from)

    def advance(self, connection: Connection, window: Window, page: OrdersPage, quarantined: int) -> Window:
        """As for every window; the backfill moves with it."""
        moved = super().advance(connection, window, page, quarantined)
        values = {
            "orders": len(page.orders),
            "quarantined": quarantined,
            "is_last": page.next_token is None,
            # Amazon says which upper bound it used: what is later than it has to be listed again.
            "read_from": moved.updated_from if moved.updated_to >= window.updated_to else None,
            "now": page.fetched_at,
        }
        connection.execute(self._own["advance"], self._keys | values)
        return moved

    def next_order(self, besides: Collection[str]) -> str | None:
        """The next of the orders that were asked for by id, but for those of `besides`."""
        with self._engine.connect() as connection:
            found: str | None = connection.execute(
                self._own["next_order"], self._keys | {"besides": list(besides)}
            ).scalar_one_or_none()
            return found

    def settle_order(self, connection: Connection, amazon_order_id: str, page: OrdersPage, quarantined: int) -> None:
        """An order has landed, or was quarantined, in the transaction of its page."""
        keys = self._keys | {"order_id": amazon_order_id, "problem": None, "now": page.fetched_at}
        connection.execute(self._own["settle_order"], keys)
        values = {"orders": 1, "quarantined": quarantined, "is_last": False, "read_from": None}
        connection.execute(self._own["advance"], keys | values)

    def give_up_order(self, amazon_order_id: str, problem: str, now: datetime) -> None:
        """An order that Amazon does not give."""
        with self._engine.begin() as connection:
            keys = self._keys | {"order_id": amazon_order_id, "problem": problem[:500], "now": now}
            connection.execute(self._own["settle_order"], keys)

    def fail_order(self, amazon_order_id: str, problem: str, now: datetime) -> None:
        """Amazon has not answered for this order; after some tries it is given up."""
        with self._engine.begin() as connection:
            values = {"order_id": amazon_order_id, "problem": f"{problem[:400]} {GIVEN_UP}", "now": now}
            connection.execute(self._own["fail_order"], self._keys | values | {"most": self._settings.failed_attempts})

    def fail(self) -> int:
        """Amazon has not answered; returns how often in a row."""
        with self._engine.begin() as connection:
            failures: int = connection.execute(self._own["fail"], self._keys).scalar_one()
            return failures

    def finish_if_done(self, now: datetime) -> bool:
        """Whether everything that was asked for has landed or was given up; if so, the backfill is over."""
        with self._engine.begin() as connection:
            done = connection.execute(self._own["finish"], self._keys | {"now": now}).rowcount
        self.is_finished = self.is_finished or bool(done)
        return self.is_finished


def time_left(seconds: float | None) -> str:
    """The time left, for people."""
    return "unknown yet" if seconds is None else str(timedelta(seconds=round(seconds)))
