"""Reads a window of Amazon's order listing page by page, and lands each page in a transaction of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from sqlalchemy import Connection, Engine

from include.adapters.amazon.client import AmazonClient, OrdersPage
from include.adapters.amazon.contract import readable_order_id
from include.adapters.amazon.landing import LandedPage, PageKeys, land_page
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import wait_for_lock
from include.domain.errors import RefusedError, ThrottledError, UnavailableError
from include.outbox.bad_addresses import note_addresses
from include.outbox.listing_windows import ListingWindows, Window
from include.outbox.order_change_outbox import plan_addresses

log = logging.getLogger(__name__)

# What has to be kept of a page besides its orders: (connection, ids of its orders, Amazon's time of the answer).
OnPage = Callable[[Connection, Sequence[str], datetime], None]


class Outcome(Enum):
    """How far a window was read."""

    LANDED = "its last page has landed"
    INTERRUPTED = "the next run goes on with it"
    NOT_BEGUN = "not even its first page came"


def no_counts() -> dict[str, int]:
    """What `PageReader` counts."""
    return {"pages": 0, "orders": 0, "new_versions": 0, "quarantined": 0}


@dataclass
class PageReader:
    """Reads for one account. `step` is the name of the step that it reads for; `counts` what it has read so far."""

    engine: Engine
    client: AmazonClient
    cipher: PersonalDataCipher
    account_name: str
    step: str
    dag_run_id: str
    on_page: OnPage
    counts: dict[str, int] = field(default_factory=no_counts)

    def read(self, windows: ListingWindows, window: Window, *, keep: int = 0) -> Outcome:
        """Read the window's pages to the last one, or as far as Amazon's quota goes. Leaves `keep` request tokens."""
        while True:
            try:
                page = self.client.search_orders(window.query, window.next_token, keep=keep)
            except ThrottledError as error:
                if self.counts["pages"] == 0 and window.kind == "live":
                    raise
                # It takes more requests than Amazon allows at once.
                log.info("%s: account=%s goes on with the next run: %s", self.step, self.account_name, error)
                return Outcome.INTERRUPTED if window.page_count else Outcome.NOT_BEGUN
            except RefusedError as error:
                if window.next_token is None:
                    raise
                windows.abandon(window)
                raise UnavailableError(
                    f"Amazon refused to go on with account {self.account_name}'s order listing after page "
                    f"{window.page_count} ({error.code}). Resolution: none needed, the next try starts anew."
                ) from error
            if page.orders and windows.is_repeated(window, page):
                windows.abandon(window)
                raise UnavailableError(
                    f"Amazon sent a page of account {self.account_name}'s order listing twice under two tokens "
                    f"(page {window.page_count + 1}). Resolution: none needed, the next try starts anew; "
                    "the watermark has not moved."
                )
            # One transaction: the page and, with the last one, what the window covers.
            with self.engine.begin() as connection:
                windows.add_page(connection, window, page)
                landed = self.land(connection, page, window.ingest_window_id, window.page_count + 1)
                window = windows.advance(connection, window, page, landed.quarantined)
            self.count(page, landed)
            if page.next_token is None:
                return Outcome.LANDED

    def land(self, connection: Connection, page: OrdersPage, ingest_window_id: int, page_number: int) -> LandedPage:
        """Land the orders of a page that is written already, in its transaction."""
        # A backfill may read the same orders in another order, and contacts are read before they are merged.
        wait_for_lock(connection, "land_amazon_orders", self.account_name)
        listed = [found for document in page.orders if (found := readable_order_id(document)) is not None]
        self.on_page(connection, listed, page.fetched_at)
        keys = PageKeys(ingest_window_id, page_number, self.account_name, self.dag_run_id)
        landed = land_page(connection, page, keys, self.cipher)
        note_addresses(connection, landed.contacts)
        plan_addresses(connection, listed, now=page.fetched_at, dag_run_id=self.dag_run_id)
        return landed

    def count(self, page: OrdersPage, landed: LandedPage) -> None:
        """Count a page that has landed."""
        self.counts["pages"] += 1
        self.counts["orders"] += len(page.orders)
        self.counts["new_versions"] += landed.new_versions
        self.counts["quarantined"] += landed.quarantined
