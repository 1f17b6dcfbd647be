"""Fetches one account's order listing from Amazon and lands every page: the live window first, then missing history.

A window that was interrupted goes on where it stopped, with the same frozen query. A marketplace that Amazon refuses
is found by asking for each alone; the others go on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Engine

from include.adapters.amazon.client import AmazonClient
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.domain.errors import ForbiddenError, MisconfiguredError
from include.domain.stores import Account
from include.outbox.backfill_marks import lift_marks
from include.outbox.listing_windows import ListingWindows, MarketplaceProblem
from include.outbox.page_reader import Outcome, PageReader, no_counts
from include.outbox.quarantine import read_again
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)

# Request tokens that history leaves to the next live window: two pages and a repeat with a fresh access token.
_RESERVE = 3


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
            return no_counts()
        windows = ListingWindows(engine, account, settings, dag_run_id)
        lift = partial(lift_marks, dag_run_id=dag_run_id)
        pages = PageReader(engine, client, cipher, account.name, "extract_amazon_orders", dag_run_id, lift)
        reader = _Reader(client, windows, pages)
        if reader.read_live():
            reader.read_history()
            read_again(pages, client.server_time())
        problems = windows.problems()
        if reader.refusal is not None and len(problems) == len(windows.marketplace_ids):
            raise reader.refusal
        if problems:
            raise _refused_marketplaces(account, problems)
    log.info("extract_amazon_orders: account=%s %s", account.name, summary(pages.counts))
    return pages.counts


@dataclass
class _Reader:
    client: AmazonClient
    windows: ListingWindows
    pages: PageReader
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
            outcome = self.pages.read(self.windows, window)
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
        return outcome is Outcome.LANDED

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
                outcome = self.pages.read(self.windows, window, keep=keep)
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
            if outcome is Outcome.NOT_BEGUN:
                self.windows.forget(window)
                return
            self.windows.clear_problem(window.marketplace_ids)
            alone = [each for each in alone if each not in window.marketplace_ids]
            sound = sorted({*sound, *window.marketplace_ids})
            if outcome is Outcome.INTERRUPTED:
                return


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
