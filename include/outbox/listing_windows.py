"""What of an account's order listing is read next: the live window up to now first, then the history that is missing.

Only writer of ops.ingest_windows, ops.ingest_pages (landing) and ops.ingest_coverage, and of Amazon's problems in
core.stores. A window covers what it asked for in the transaction that lands its last page, never before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam
from sqlalchemy.dialects.postgresql import JSONB

from include.adapters.amazon.client import OrdersPage
from include.adapters.amazon.requests import IMPORT_DATA, search_query
from include.adapters.amazon.split import versions_sha256
from include.database.statements import load_statements
from include.domain.stores import Account
from include.settings import Settings

# Amazon's pagination tokens live 24 hours; an hour less leaves room for the answer.
_TOKEN_LIFE = timedelta(hours=23)
# An account that was unreadable for long gets the newest first, too: more than this is history.
_LONGEST_FIRST_LIVE = timedelta(days=7)
# Beside the live windows, Amazon's quota leaves about 140 pages a day to history.
_MANY_PAGES = 50
_SHORTEST_HISTORY = timedelta(minutes=1)
_SUSPECTED = (
    "Amazon refused a listing of several marketplaces. Resolution: none needed yet, each is asked for alone to find "
    "out which one it is."
)


@dataclass(frozen=True)
class Window:
    """One stretch of the listing and where we are in it. Amazon wants every page asked with the same `query`."""

    ingest_window_id: int
    kind: str
    marketplace_ids: tuple[str, ...]
    updated_from: datetime
    updated_to: datetime
    query: dict[str, str]
    next_token: str | None
    page_count: int


@dataclass(frozen=True)
class MarketplaceProblem:
    """A marketplace that Amazon does not let us read, since when, and when it is asked for again."""

    store_name: str
    marketplace_id: str
    problem: str
    since: datetime
    retry_at: datetime


class ListingWindows:
    """The windows of one account. All times are Amazon's clock, UTC."""

    def __init__(self, engine: Engine, account: Account, settings: Settings, dag_run_id: str) -> None:
        self._engine = engine
        self._settings = settings
        self._keys: dict[str, Any] = {"account_name": account.name, "dag_run_id": dag_run_id, "backfill_id": 0}
        self._statements = load_statements(__file__)
        self.marketplace_ids = sorted({store.marketplace_id for store in account.stores})

    def open_live(self, now: datetime, marketplace_ids: Collection[str]) -> Window | None:
        """Go on with the open live window, or open the next one; None when it is too early for one."""
        with self._engine.begin() as connection:
            window = self._resume(connection, "live", now)
            if window is not None:
                return window
            watermark = self._watermark(connection)
            updated_to = self.horizon(now)
            if watermark is None:
                keys = self._keys | {"marketplace_ids": list(marketplace_ids)}
                connected_at = connection.execute(self._statements["connected_at"], keys).scalar_one()
                watermark = min(max(connected_at, updated_to - _LONGEST_FIRST_LIVE), updated_to)
            elif updated_to - watermark < self._settings.window_minimum:
                return None
            updated_from = min(watermark - self._settings.window_overlap, updated_to)
            return self._open(connection, "live", marketplace_ids, updated_from, updated_to)

    def open_history(
        self, now: datetime, sound: Collection[str], alone: Collection[str], horizon: datetime
    ) -> Window | None:
        """Go on with the open history window, or open one for the newest stretch that is missing; None: none is.

        Marketplaces that lack the same stretch share a window, except those of `alone`.
        """
        with self._engine.begin() as connection:
            window = self._resume(connection, "history", now)
            if window is not None:
                if set(window.marketplace_ids) <= set(sound) | set(alone):
                    return window
                self._abandon(connection, window.ingest_window_id)
            keys = self._keys | {
                "marketplace_ids": [*sound, *alone],
                "initial_lookback": self._settings.initial_lookback,
                "horizon": horizon,
            }
            gaps = connection.execute(self._statements["gaps"], keys).all()
            if not gaps:
                return None
            # One of `alone` may be what the account is waiting for: first of the equally new.
            newest = min(gaps, key=lambda gap: (gap.gap_to != gaps[0].gap_to, gap.marketplace_id not in alone))
            same = [gap for gap in gaps if gap.gap_to == newest.gap_to and gap.marketplace_id not in alone]
            chosen = [newest] if newest.marketplace_id in alone else same
            updated_from = max(newest.gap_to - self._length(connection, "history"), *(gap.gap_from for gap in chosen))
            if any(gap.starts_at < gap.gap_from == updated_from for gap in chosen):
                updated_from -= self._settings.window_overlap  # Amazon lists changes late
            ids = [gap.marketplace_id for gap in chosen]
            return self._open(connection, "history", ids, updated_from, newest.gap_to)

    def horizon(self, now: datetime) -> datetime:
        """The latest end of a window: Amazon refuses less than two minutes before its own now."""
        return milliseconds(now - self._settings.window_safety_margin)

    def watermark(self) -> datetime | None:
        """The end of the account's newest live window that has landed."""
        with self._engine.connect() as connection:
            return self._watermark(connection)

    def is_repeated(self, window: Window, page: OrdersPage) -> bool:
        """Whether the window holds the same orders and versions on an earlier page."""
        keys = {"ingest_window_id": window.ingest_window_id, "page_sha256": versions_sha256(page.orders)}
        with self._engine.connect() as connection:
            return bool(connection.execute(self._statements["repeated_page"], keys).scalar_one())

    def add_page(self, connection: Connection, window: Window, page: OrdersPage) -> None:
        """Write the window's next page, before its orders and in their transaction."""
        keys = {"ingest_window_id": window.ingest_window_id, "page_number": window.page_count + 1}
        values = {
            "page_sha256": versions_sha256(page.orders),
            "orders_seen": len(page.orders),
            "request_id": page.request_id,
        }
        connection.execute(self._statements["insert_page"], keys | values)

    def advance(self, connection: Connection, window: Window, page: OrdersPage, quarantined: int) -> Window:
        """Move the window behind `page`, in the transaction of its orders; with the last page it has landed."""
        values = {
            "ingest_window_id": window.ingest_window_id,
            "next_token": page.next_token,
            "next_token_at": page.fetched_at,
            "orders_seen": len(page.orders),
            "orders_quarantined": quarantined,
            "updated_before": page.updated_before,
        }
        row = connection.execute(self._statements["advance_window"], values).one()
        if page.next_token is None:
            connection.execute(self._statements["cover"], self._keys | {"ingest_window_id": window.ingest_window_id})
        return _window(row)

    def abandon(self, window: Window) -> None:
        """Give the window up: what landed of it stays, but covers nothing."""
        with self._engine.begin() as connection:
            self._abandon(connection, window.ingest_window_id)

    def forget(self, window: Window) -> None:
        """Drop a window without a page."""
        with self._engine.begin() as connection:
            connection.execute(self._statements["forget_window"], {"ingest_window_id": window.ingest_window_id})

    def problems(self) -> dict[str, MarketplaceProblem]:
        """The marketplaces that Amazon refuses, or may refuse, by id."""
        keys = self._keys | {"marketplace_ids": self.marketplace_ids}
        with self._engine.connect() as connection:
            rows = connection.execute(self._statements["problems"], keys).all()
        return {row.marketplace_id: MarketplaceProblem(*row) for row in rows}

    def suspect(self, marketplace_ids: Collection[str], now: datetime) -> None:
        """One of these is refused, nobody knows which: each is to be asked for alone, at once."""
        self._note_problem(marketplace_ids, _SUSPECTED, now, is_suspected=True)

    def refuse(self, marketplace_id: str, problem: str, now: datetime) -> None:
        """Amazon refuses this marketplace; it is asked for again later and later, at most an hour."""
        self._note_problem([marketplace_id], problem, now, is_suspected=False)

    def clear_problem(self, marketplace_ids: Collection[str]) -> None:
        """Amazon has given these marketplaces' orders."""
        with self._engine.begin() as connection:
            keys = self._keys | {"marketplace_ids": list(marketplace_ids)}
            connection.execute(self._statements["clear_problem"], keys)

    def _resume(self, connection: Connection, kind: str, now: datetime) -> Window | None:
        row = connection.execute(self._statements["open_window"], self._keys | {"kind": kind}).one_or_none()
        if row is None:
            return None
        # Without a page nothing is lost by asking anew, and with what stores.yaml says now.
        if row.next_token is not None and row.next_token_at > now - _TOKEN_LIFE:
            return _window(row)
        self._abandon(connection, row.ingest_window_id)
        return None

    def _open(
        self,
        connection: Connection,
        kind: str,
        marketplace_ids: Collection[str],
        updated_from: datetime,
        updated_to: datetime,
    ) -> Window:
        ids = sorted(marketplace_ids)
        updated_from = milliseconds(updated_from)
        family = "created" if kind == "backfill" else "lastUpdated"
        query = search_query(ids, updated_from, updated_to, IMPORT_DATA, self._settings.orders_per_page, family)
        values = {
            "kind": kind,
            "marketplace_ids": ids,
            "updated_from": updated_from,
            "updated_to": updated_to,
            "query": query,
        }
        insert = self._statements["insert_window"].bindparams(bindparam("query", type_=JSONB))
        return _window(connection.execute(insert, self._keys | values).one())

    def _length(self, connection: Connection, kind: str) -> timedelta:
        """How much the next window of the history, or of a backfill, asks for.

        A token's death costs the whole window, so a window is to be read well within a day; but a quiet time must not
        cost a request a week.
        """
        shortest = self._settings.history_window
        last = connection.execute(self._statements["last_window"], self._keys | {"kind": kind}).one_or_none()
        if last is None:
            return shortest
        length: timedelta = last.length
        if last.page_count > _MANY_PAGES or (last.state == "abandoned" and last.page_count > 0):
            return max(length / 2, _SHORTEST_HISTORY)
        if last.state == "landed" and last.page_count > 1:
            return max(length, _SHORTEST_HISTORY)
        return max(length * 4, shortest) if last.state == "landed" else shortest

    def _watermark(self, connection: Connection) -> datetime | None:
        watermark: datetime | None = connection.execute(self._statements["watermark"], self._keys).scalar_one()
        return watermark

    def _abandon(self, connection: Connection, ingest_window_id: int) -> None:
        connection.execute(self._statements["abandon_window"], {"ingest_window_id": ingest_window_id})

    def _note_problem(
        self, marketplace_ids: Collection[str], problem: str, now: datetime, *, is_suspected: bool
    ) -> None:
        values = {
            "marketplace_ids": list(marketplace_ids),
            "problem": problem,
            "now": now,
            "is_suspected": is_suspected,
        }
        with self._engine.begin() as connection:
            connection.execute(self._statements["note_problem"], {**self._keys, **values})


def _window(row: Row[Any]) -> Window:
    return Window(
        row.ingest_window_id,
        row.kind,
        tuple(row.marketplace_ids),
        row.updated_from,
        row.updated_to,
        dict(row.query),
        row.next_token,
        row.page_count,
    )


def milliseconds(moment: datetime) -> datetime:
    """The moment as Amazon takes it: cut to milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
