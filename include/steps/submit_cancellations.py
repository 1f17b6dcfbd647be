"""Takes each cancellation on its way to Amazon as far as it goes now: upload, create the feed, ask, read the report."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.amazon.cancellations import FEED_TYPE
from include.database.locks import autocommit, try_lock
from include.domain.cancellations import BatchReport, CancellationGateway, Progress, why_not_cancelable
from include.domain.errors import (
    MisconfiguredError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from include.domain.statuses import CANCELED_STATUSES
from include.outbox.cancellation_outbox import CancellationOutbox, accounts_with_cancellations
from include.outbox.work_loop import FailureStreak, LoopReport, summary
from include.settings import Settings

log = logging.getLogger(__name__)

# How far a moment of Amazon's clock that we have worked out may be wrong.
_CLOCK_ERROR = timedelta(seconds=30)


def run(
    engine: Engine,
    gateway: Callable[[str], CancellationGateway],
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
    is_dry_run: bool = False,
) -> dict[str, int]:
    """Work on the cancellations of every account. Returns counts by outcome. Without cancellations, it calls nobody.

    `gateway` gives the way to Amazon of an account. An account at which another worker is at work is passed over. A
    failing feed or account never stops another. Raises RunIncompleteError, ThrottledError or MisconfiguredError when
    Amazon keeps failing, throttles, or a person must act. With `is_dry_run` it does nothing.
    """
    if is_dry_run:
        return {}
    report = LoopReport()
    with engine.connect() as connection:
        account_names = accounts_with_cancellations(connection)
    for account_name in account_names:
        outbox = CancellationOutbox(engine, settings, account_name, clock=clock, dag_run_id=dag_run_id)
        try:
            with autocommit(engine) as session, try_lock(session, "cancellations", account_name) as got:
                if not got:
                    report.counts["passed_over"] += 1
                    continue
                outbox.settle()
                _Account(outbox, session, account_name, partial(gateway, account_name), report).work()
        except (MisconfiguredError, UnavailableError) as error:
            report.stopped[account_name] = error
    log.info("submit_cancellations: %s", summary(report.counts) or "nothing to do")
    report.raise_if_incomplete("submit_cancellations")
    return dict(report.counts)


class _Account:
    """The cancellations of one account, and its lock."""

    def __init__(
        self,
        outbox: CancellationOutbox,
        session: Connection,
        account_name: str,
        gateway: Callable[[], CancellationGateway],
        report: LoopReport,
    ) -> None:
        self.outbox = outbox
        self.session = session  # in autocommit; holds the account's lock
        self.account_name = account_name
        self._open_gateway = gateway
        self.counts: Counter[str] = report.counts
        self.stopped: dict[str, OrdersError] = report.stopped

    @cached_property
    def gateway(self) -> CancellationGateway:
        """The way to Amazon, opened when there is something to ask or to submit."""
        return self._open_gateway()

    def work(self) -> None:
        """Put new cancellations into feeds, and take every feed as far as it goes now."""
        self.plan()
        streak = FailureStreak()
        for feed in self.outbox.due_feeds():
            try:
                while self.advance(feed):
                    feed = self.outbox.read(feed.feed_number)
                streak.end()
            except (ThrottledError, MisconfiguredError) as error:
                # Of one operation or one marketplace: the other feeds may pass.
                self.stopped[self.account_name] = error
            except (UnavailableError, RefusedError) as error:
                log.warning("submit_cancellations: account=%s feed=%d: %s", self.account_name, feed.feed_number, error)
                self.counts["failed"] += 1
                now = self.outbox.read(feed.feed_number)
                if now.state != "in_doubt":  # which has its own time
                    self.outbox.put_back(now, error)
                if isinstance(error, UnavailableError) and not streak.is_one_more_tolerable():
                    raise

    def plan(self) -> None:
        """One feed per marketplace, so that a refused one delays no other. What failed before goes alone."""
        together: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in self.outbox.due():
            status = row.amazon_status
            if row.attempts:
                try:
                    status = self.gateway.amazon_status(row.amazon_order_id)
                except (UnavailableError, RefusedError) as error:
                    log.warning("submit_cancellations: order=%s: %s", row.amazon_order_id, error)
                    self.counts["failed"] += 1
                    self.outbox.wait(row)
                    continue
                if status in CANCELED_STATUSES:
                    self.outbox.wait(row)
                    continue
            why = why_not_cancelable(status, row.fulfilled_by, row.commerce_shipment_count)
            if why is not None:
                self.outbox.refuse(row, why)
                self.counts["not_cancelable"] += 1
            elif row.attempts:
                self.outbox.plan_feed(FEED_TYPE, [row])
            else:
                together[row.marketplace_id].append(row)
        for rows in together.values():
            self.outbox.plan_feed(FEED_TYPE, rows)

    def advance(self, feed: Row[Any]) -> bool:
        """One step of a feed. True: the next one can be taken at once."""
        if feed.state == "planned":
            return self.upload(feed)
        if feed.state == "uploaded":
            return self.submit(feed)
        if feed.state == "sent":
            # The worker that sent it is gone, or we would not hold the account's lock.
            self.outbox.doubt(feed, "The worker ended while the feed was being created.")
            self.counts["in_doubt"] += 1
            return False
        if feed.state == "in_doubt":
            return self.find(feed)
        return self.follow(feed)

    def upload(self, feed: Row[Any]) -> bool:
        """Leave the document with Amazon. Repeated, it leaves another one, of which nothing comes."""
        messages = self.outbox.messages(feed)
        if not messages:
            self.outbox.fail(feed, "nothing is left to submit", is_final=True)
            return False
        try:
            self.outbox.uploaded(feed, self.gateway.upload(messages))
        except RefusedError as error:
            return self.refused(feed, error)
        return True

    def submit(self, feed: Row[Any]) -> bool:
        """Have Amazon carry the document out: the one call that cancels."""
        if not self.outbox.messages(feed):
            self.outbox.fail(feed, "nothing is left to submit", is_final=True)
            return False
        gateway = self.gateway
        if not self.outbox.mark_sent(self.session, feed, gateway.now()):
            return False
        try:
            batch_id = gateway.submit(feed.document_id, feed.marketplace_id)
        except OutcomeUnknownError as error:
            self.outbox.doubt(feed, str(error))
            self.counts["in_doubt"] += 1
            raise
        except RefusedError as error:
            return self.refused(feed, error)
        except (UnavailableError, MisconfiguredError):  # nothing was done
            self.outbox.not_sent(feed)
            raise
        self.outbox.submitted(feed, batch_id)
        self.counts["feeds_submitted"] += 1
        return False

    def refused(self, feed: Row[Any], error: RefusedError) -> bool:
        """Amazon refused a document or a feed as a whole: nothing was done."""
        self.outbox.refused(feed, error)
        self.counts["feeds_refused"] += 1
        return False

    def find(self, feed: Row[Any]) -> bool:
        """Look for a feed whose creation nobody saw. Feeds of one account are created one after the other.

        If it is somebody else's that is found, its report has other messages: then nothing of ours is confirmed, and a
        person looks. What must never happen is that a second one is submitted.
        """
        found = self.gateway.submitted_since(feed.sent_at - _CLOCK_ERROR, feed.marketplace_id)
        known = self.outbox.known_feed_ids()
        unknown = [batch_id for batch_id in found if batch_id not in known]
        if unknown:
            self.outbox.submitted(feed, unknown[0])
            self.counts["feeds_submitted"] += 1
            return False
        self.outbox.not_found(feed)
        return bool(feed.not_found_count + 1 >= 2)

    def follow(self, feed: Row[Any]) -> bool:
        """Ask how far Amazon is, and read the report when it is done."""
        gateway = self.gateway
        state = gateway.state(feed.amazon_feed_id)
        if state.progress is Progress.WAITING:
            self.outbox.look_later(feed, state)
            self.counts["feeds_waiting"] += 1
        elif state.progress is Progress.DONE:
            message_ids = self.outbox.message_ids(feed)
            report = BatchReport(is_complete=False)
            if state.report_id is not None:
                report = gateway.report(state.report_id, message_ids)
            self.counts.update(self.outbox.finish(feed, state, report))
        else:
            why = f"Amazon ended the whole feed as {state.amazon_status}"
            self.outbox.fail(feed, why, is_final=False, amazon_status=state.amazon_status)
            self.counts["feeds_failed"] += 1
        return False
