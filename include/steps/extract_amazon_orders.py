"""Fetches one account's order listing from Amazon and lands every page: the live window first, then missing history.

A window that was interrupted goes on where it stopped, with the same frozen query. A marketplace that Amazon refuses
is found by asking for each alone; the others go on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy import Engine

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.contract import readable_order_id
from include.adapters.amazon.landing import PageKeys, land_page
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.domain.errors import (
    ForbiddenError,
    MisconfiguredError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from include.domain.stores import Account
from include.outbox.bad_addresses import note_addresses
from include.outbox.listing_windows import ListingWindows, MarketplaceProblem, Window
from include.outbox.order_change_outbox import plan_addresses
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)

# Request tokens that history leaves to the next live window: two pages and a repeat with a fresh access token.
_RESERVE = 3


class _Outcome(Enum):
    LANDED = "its last page has landed"
    INTERRUPTED = "the next run goes on with it"
    NOT_BEGUN = "not even its first page came"


def run(
    engine: Engine,
    client: AmazonClient,
    cipher: PersonalDataCipher,
    account: Account,
    settings: Settings,
    *,
    dag_run_id: str,
) -> dict[str, int]:
    """Land the account's live window and as much history as Amazon's quota allows.

    Returns counts: pages, orders, new_versions, quarantined.
    Times come from Amazon's clock. Beside a second copy for the same account, one works and the other returns at once.
    Raises the typed errors of the client; what landed before stays landed. Raises MisconfiguredError, after all else,
    when Amazon refuses a marketplace.
    """
    with autocommit(engine) as session, try_lock(session, "extract_amazon_orders", account.name) as got:
        if not got:
            log.info("extract_amazon_orders: account=%s is being extracted by another run", account.name)
            return _no_counts()
        windows = ListingWindows(engine, account, settings, dag_run_id)
        reader = _Reader(engine, client, cipher, account, windows, dag_run_id, _no_counts())
        if reader.read_live():
            reader.read_history()
        problems = windows.problems()
        if reader.refusal is not None and len(problems) == len(windows.marketplace_ids):
            raise reader.refusal
        if problems:
            raise _refused_marketplaces(account, problems)
    log.info("extract_amazon_orders: account=%s %s", account.name, summary(reader.counts))
    return reader.counts


@dataclass
class _Reader:
    engine: Engine
    client: AmazonClient
    cipher: PersonalDataCipher
    account: Account
    windows: ListingWindows
    dag_run_id: str
    counts: dict[str, int]
    refusal: ForbiddenError | None = None

    def read_live(self) -> bool:
        """Read up to now; False when Amazon's quota ended it.

        Marketplaces that Amazon refuses are left out. When it refuses all, they are tried together until one is due
        alone. When it refuses several together, each is suspected.
        """
        now = self.client.server_time()
        problems = self.windows.problems()
        sound = [each for each in self.windows.marketplace_ids if each not in problems]
        if not sound and any(problem.retry_at <= now for problem in problems.values()):
            return True
        window = self.windows.open_live(now, sound or self.windows.marketplace_ids)
        if window is None:
            return True
        try:
            outcome = self._read(window)
        except ForbiddenError as error:
            self.windows.abandon(window)
            if len(self.windows.marketplace_ids) == 1:
                raise
            self.refusal = error
            if len(sound) == 1:
                self.windows.refuse(sound[0], str(error), now)
            elif sound:
                self.windows.suspect(sound, now)
            return True
        if not sound:
            self.windows.clear_problem(self.windows.marketplace_ids)
        return outcome is _Outcome.LANDED

    def read_history(self) -> None:
        """Read what is missing, newest first, while there are tokens; refused marketplaces alone, when they are due."""
        now = self.client.server_time()
        problems = self.windows.problems()
        sound = [each for each in self.windows.marketplace_ids if each not in problems]
        alone = [each for each, problem in problems.items() if problem.retry_at <= now]
        horizon = self.windows.watermark() if sound else None
        # Without a live window, what is asked for alone reaches up to now, and nothing has to be kept for one.
        keep, until = (_RESERVE, horizon) if horizon is not None else (0, self.windows.horizon(now))
        seen: set[tuple[tuple[str, ...], datetime, datetime]] = set()
        while (window := self.windows.open_history(now, sound, alone, until)) is not None:
            stretch = (window.marketplace_ids, window.updated_from, window.updated_to)
            if stretch in seen:  # Amazon covers less than we ask for
                self.windows.forget(window)
                return
            seen.add(stretch)
            try:
                outcome = self._read(window, keep=keep)
            except ForbiddenError as error:
                self.windows.abandon(window)
                self.refusal = error
                if len(window.marketplace_ids) == 1:
                    self.windows.refuse(window.marketplace_ids[0], str(error), now)
                    alone = [each for each in alone if each not in window.marketplace_ids]
                else:
                    self.windows.suspect(window.marketplace_ids, now)
                    alone += window.marketplace_ids
                sound = [each for each in sound if each not in window.marketplace_ids]
                continue
            if outcome is _Outcome.NOT_BEGUN:
                self.windows.forget(window)
                return
            self.windows.clear_problem(window.marketplace_ids)
            alone = [each for each in alone if each not in window.marketplace_ids]
            sound = sorted({*sound, *window.marketplace_ids})
            if outcome is _Outcome.INTERRUPTED:
                return

    def _read(self, window: Window, *, keep: int = 0) -> _Outcome:
        """Read the window's pages to the last one, or as far as Amazon's quota goes."""
        outcome = _Outcome.NOT_BEGUN
        while True:
            try:
                page = self.client.search_orders(window.query, window.next_token, keep=keep)
            except ThrottledError as error:
                if self.counts["pages"] == 0 and window.kind == "live":
                    raise
                # It takes more requests than Amazon allows at once.
                log.info("extract_amazon_orders: account=%s goes on with the next run: %s", self.account.name, error)
                return _Outcome.INTERRUPTED if window.page_count else outcome
            except RefusedError as error:
                if window.next_token is None:
                    raise
                self.windows.abandon(window)
                raise UnavailableError(
                    f"Amazon refused to go on with account {self.account.name}'s order listing after page "
                    f"{window.page_count} ({error.code}). Resolution: none needed, the next try starts anew."
                ) from error
            if page.orders and self.windows.is_repeated(window, page):
                self.windows.abandon(window)
                raise UnavailableError(
                    f"Amazon sent a page of account {self.account.name}'s order listing twice under two tokens "
                    f"(page {window.page_count + 1}). Resolution: none needed, the next try starts anew; "
                    "the watermark has not moved."
                )
            # One transaction: the page and, with the last one, what the window covers.
            keys = PageKeys(window.ingest_window_id, window.page_count + 1, self.account.name, self.dag_run_id)
            with self.engine.begin() as connection:
                self.windows.add_page(connection, window, page)
                landed = land_page(connection, page, keys, self.cipher)
                note_addresses(connection, landed.contacts)
                listed = [found for document in page.orders if (found := readable_order_id(document)) is not None]
                plan_addresses(connection, listed, now=page.fetched_at, dag_run_id=self.dag_run_id)
                window = self.windows.advance(connection, window, page, landed.quarantined)
            self.counts["pages"] += 1
            self.counts["orders"] += len(page.orders)
            self.counts["new_versions"] += landed.new_versions
            self.counts["quarantined"] += landed.quarantined
            if page.next_token is None:
                return _Outcome.LANDED


def _no_counts() -> dict[str, int]:
    return {"pages": 0, "orders": 0, "new_versions": 0, "quarantined": 0}


def _refused_marketplaces(account: Account, problems: dict[str, MarketplaceProblem]) -> MisconfiguredError:
    listed = "; ".join(
        f"{problem.store_name} (marketplace {problem.marketplace_id}, since {problem.since:%Y-%m-%d %H:%M} UTC)"
        for problem in problems.values()
    )
    return MisconfiguredError(
        f"Amazon refuses the orders of {listed}. All else of account {account.name} was read. Resolution: check in "
        "Seller Central that the seller still sells there and that the application has the roles for orders, or take "
        "the store out of the stores file. Amazon is asked again at least every hour; what was missed follows."
    )
