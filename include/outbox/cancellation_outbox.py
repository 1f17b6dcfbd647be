"""`ops.cancellation_outbox` and `ops.amazon_feeds`: cancellations on their way to Amazon. Only writer of both.

A feed is committed as sent before createFeed is called. Amazon would carry out the same document twice, so an unknown
outcome is looked up among Amazon's feeds, twice, before the call may be made again. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql

from include.database.statements import load_statements
from include.database.tables import amazon_feeds, cancellation_outbox
from include.domain.cancellations import BatchReport, BatchState, Cancellation, Progress
from include.domain.errors import OrdersError, RefusedError
from include.domain.statuses import CANCELED_STATUSES
from include.outbox.work_loop import growing
from include.settings import Settings

_LONGEST_NOTE = 400
_MOST_ATTEMPTS = 2
_MOST_MESSAGES = 10_000
_FEED, _ASKED = amazon_feeds.c, cancellation_outbox.c


def accounts_with_cancellations(connection: Connection) -> list[str]:
    """The accounts that have cancellations of which the end is not known, by name."""
    return list(connection.execute(load_statements(__file__)["accounts_with_cancellations"]).scalars())


def orders_to_cancel(connection: Connection, order_ids: Collection[str]) -> dict[str, Row[Any]]:
    """What is known of these orders, by id, with `requested_by` and `requested_at` of a cancellation under way."""
    rows = connection.execute(load_statements(__file__)["orders_to_cancel"], {"order_ids": sorted(order_ids)})
    return {row.amazon_order_id: row for row in rows}


def ask_for_cancellation(
    connection: Connection,
    order: Row[Any],
    *,
    reason: str,
    comment: str | None,
    requested_by: str,
    now: datetime,
    dag_run_id: str,
) -> bool:
    """Plan to cancel an order. False: it is asked for already, by whichever run."""
    statement = postgresql.insert(cancellation_outbox).values(
        amazon_order_id=order.amazon_order_id,
        requested_dag_run_id=dag_run_id,
        account_name=order.account_name,
        marketplace_id=order.marketplace_id,
        reason=reason,
        comment=comment,
        requested_by=requested_by,
        requested_at=now,
        state="planned",
        note=f"{requested_by} asked to cancel the order on Amazon ({reason}); it is about to be submitted. "
        "Do not ship it.",
        dag_run_id=dag_run_id,
        updated_at=now,
    )
    added = statement.on_conflict_do_nothing().returning(_ASKED.amazon_order_id)
    return connection.execute(added).one_or_none() is not None


class CancellationOutbox:
    """The cancellations and feeds of one account, for whoever holds the account's lock."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        account_name: str,
        *,
        clock: Callable[[], datetime],
        dag_run_id: str,
    ) -> None:
        """`clock` gives the time, aware, UTC."""
        self._engine = engine
        self._settings = settings
        self._account_name = account_name
        self._clock = clock
        self._dag_run_id = dag_run_id

    def settle(self) -> None:
        """End what Amazon now reports as canceled, and give to people what it has not for too long."""
        now = self._clock()
        values = {"account_name": self._account_name, "now": now, "dag_run_id": self._dag_run_id}
        canceled = {"canceled_statuses": sorted(CANCELED_STATUSES)}
        waited = {"reported_before": now - self._settings.cancellation_confirm_wait}
        with self._engine.begin() as connection:
            connection.execute(load_statements(__file__)["settle_canceled"], values | canceled)
            connection.execute(load_statements(__file__)["settle_unconfirmed"], values | waited)

    def due(self) -> Sequence[Row[Any]]:
        """The cancellations that no feed carries yet, with what is known of their orders; oldest first."""
        values = {"account_name": self._account_name, "now": self._clock()}
        with self._engine.connect() as connection:
            return connection.execute(load_statements(__file__)["due_cancellations"], values).all()

    def plan_feed(self, feed_type: str, rows: Sequence[Row[Any]]) -> None:
        """One feed with a message for each of these cancellations, all of one marketplace."""
        now = self._clock()
        feed = insert(amazon_feeds).values(
            account_name=self._account_name,
            marketplace_id=rows[0].marketplace_id,
            feed_type=feed_type,
            state="planned",
            planned_at=now,
            dag_run_id=self._dag_run_id,
            updated_at=now,
        )
        with self._engine.begin() as connection:
            number = connection.execute(feed.returning(_FEED.feed_number)).scalar_one()
            # Never the number of another message: somebody else's report says nothing of ours.
            for message_id, row in enumerate(rows, start=number * _MOST_MESSAGES):
                self._set(
                    connection,
                    [_ASKED.state == "planned", *_key(row)],
                    feed_number=number,
                    message_id=message_id,
                    attempts=row.attempts + 1,
                )

    def refuse(self, row: Row[Any], why: str) -> None:
        """It cannot be canceled any more; Amazon was not asked."""
        cause, _, remedy = why.partition(" Resolution: ")
        note = f"The cancellation that {row.requested_by} asked for was not submitted: {cause}"
        note += f" {remedy[:1].upper()}{remedy[1:]}."
        with self._engine.begin() as connection:
            self._end(connection, [_ASKED.state == "planned", *_key(row)], "refused", note)

    def wait(self, row: Row[Any]) -> None:
        """Amazon reports it as canceled; the next import tells."""
        with self._engine.begin() as connection:
            self._set(connection, _key(row), next_attempt_at=self._clock() + self._settings.in_doubt_gap)

    def due_feeds(self) -> Sequence[Row[Any]]:
        """The feeds that are not done and whose time has come; those without failures first."""
        statement = (
            select(amazon_feeds)
            .where(
                _FEED.account_name == self._account_name,
                _FEED.done_at.is_(None),
                or_(_FEED.next_attempt_at.is_(None), _FEED.next_attempt_at <= self._clock()),
            )
            .order_by(_FEED.failures, _FEED.feed_number)
        )
        with self._engine.connect() as connection:
            return connection.execute(statement).all()

    def read(self, feed_number: int) -> Row[Any]:
        """The feed as it is now."""
        with self._engine.connect() as connection:
            return connection.execute(select(amazon_feeds).where(_FEED.feed_number == feed_number)).one()

    def messages(self, feed: Row[Any]) -> list[Cancellation]:
        """What the feed has to submit; what is settled meanwhile is left out."""
        with self._engine.connect() as connection:
            rows = connection.execute(load_statements(__file__)["messages"], {"feed_number": feed.feed_number})
            return [
                Cancellation(row.message_id, row.amazon_order_id, row.reason, tuple(row.amazon_item_ids))
                for row in rows
            ]

    def message_ids(self, feed: Row[Any]) -> list[int]:
        """The numbers of all messages that were put into the feed."""
        statement = select(_ASKED.message_id).where(_ASKED.feed_number == feed.feed_number)
        with self._engine.connect() as connection:
            return [number for number in connection.execute(statement).scalars() if number is not None]

    def uploaded(self, feed: Row[Any], document_id: str) -> None:
        """Amazon has the document, and does nothing with it yet."""
        self._change(feed, ("planned",), state="uploaded", document_id=document_id, failures=0)

    def mark_sent(self, session: Connection, feed: Row[Any], amazon_now: datetime) -> bool:
        """Commit that createFeed is being called, before it is. False: somebody else has done it; do not call.

        Also False while another feed to the same marketplace is in doubt: what is found later must be of one feed. On
        the session that holds the account's lock: if that session is lost, so is the lock, and nothing may be sent.
        """
        others = amazon_feeds.alias()
        doubtful = select(others.c.feed_number).where(
            others.c.account_name == feed.account_name,
            others.c.marketplace_id == feed.marketplace_id,
            others.c.state.in_(("sent", "in_doubt")),
        )
        values = {"state": "sent", "sent_at": amazon_now, "not_found_count": 0}
        return self._update(session, feed, ("uploaded",), ~doubtful.exists(), **values)

    def not_sent(self, feed: Row[Any]) -> None:
        """Amazon has created nothing, and that is certain."""
        self._change(feed, ("sent",), state="uploaded")

    def doubt(self, feed: Row[Any], reason: str) -> None:
        """Amazon may have the feed: it is looked for after a pause, and nothing is sent before."""
        later = self._clock() + self._settings.in_doubt_gap
        self._change(
            feed, ("sent", "in_doubt"), state="in_doubt", next_attempt_at=later, last_error=reason[:_LONGEST_NOTE]
        )

    def not_found(self, feed: Row[Any]) -> None:
        """Amazon lists no feed that could be the one in doubt. Only the second time allows another call."""
        if feed.not_found_count + 1 < 2:
            later = self._clock() + self._settings.in_doubt_gap
            self._change(feed, ("in_doubt",), not_found_count=feed.not_found_count + 1, next_attempt_at=later)
        else:
            self._change(feed, ("in_doubt",), state="uploaded", next_attempt_at=None)

    def known_feed_ids(self) -> set[str]:
        """Amazon's ids of all feeds of the account that are ours."""
        statement = select(_FEED.amazon_feed_id).where(
            _FEED.account_name == self._account_name, _FEED.amazon_feed_id.is_not(None)
        )
        with self._engine.connect() as connection:
            return {found for found in connection.execute(statement).scalars() if found}

    def submitted(self, feed: Row[Any], amazon_feed_id: str) -> None:
        """Amazon has the feed."""
        now = self._clock()
        with self._engine.begin() as connection:
            self._update(
                connection,
                feed,
                ("sent", "in_doubt"),
                state="submitted",
                amazon_feed_id=amazon_feed_id,
                submitted_at=now,
                next_attempt_at=now + self._settings.feed_poll_gap,
                failures=0,
                last_error=None,
            )
            note = func.concat(
                "The cancellation that ",
                _ASKED.requested_by,
                " asked for (",
                _ASKED.reason,
                ") is submitted; Amazon answers within minutes or hours. Do not ship the order.",
            )
            self._set(
                connection,
                [_ASKED.feed_number == feed.feed_number, _ASKED.state == "planned"],
                state="submitted",
                submitted_at=now,
                note=note,
            )

    def look_later(self, feed: Row[Any], state: BatchState) -> None:
        """Amazon is still at it."""
        later = self._clock() + self._settings.feed_poll_gap
        self._change(
            feed, ("submitted",), amazon_status=state.amazon_status, next_attempt_at=later, failures=0, last_error=None
        )

    def finish(self, feed: Row[Any], state: BatchState, report: BatchReport) -> dict[str, int]:
        """Amazon is done with the feed: each cancellation gets what the report says of it. Returns counts."""
        now = self._clock()
        tail = "" if report.is_complete else " Its report does not say so for certain."
        accepted = func.concat(
            "Amazon accepted the cancellation that ",
            _ASKED.requested_by,
            " asked for (",
            _ASKED.reason,
            f").{tail} The order is canceled once Amazon reports it so. Do not ship it.",
        )
        in_feed = [_ASKED.feed_number == feed.feed_number, _ASKED.state == "submitted"]
        counts = {"refused": 0, "accepted": 0}
        with self._engine.begin() as connection:
            for message_id, why in report.refusals.items():
                counts["refused"] += self._end(
                    connection, [*in_feed, _ASKED.message_id == message_id], "refused", _refusal(why), reported_at=now
                )
            counts["accepted"] = self._set(connection, in_feed, state="accepted", reported_at=now, note=accepted)
            self._close(connection, feed, "done", amazon_status=state.amazon_status)
        return counts

    def fail(self, feed: Row[Any], why: str, *, is_final: bool, amazon_status: str | None = None) -> None:
        """The feed came to nothing. Unless `is_final`, each of its orders is tried once more, alone."""
        in_feed = [_ASKED.feed_number == feed.feed_number, _ASKED.state.in_(("planned", "submitted"))]
        with self._engine.begin() as connection:
            if not is_final:
                self._set(
                    connection,
                    [*in_feed, _ASKED.attempts < _MOST_ATTEMPTS],
                    state="planned",
                    feed_number=None,
                    message_id=None,
                    next_attempt_at=self._clock() + self._settings.in_doubt_gap,
                )
            self._end(connection, in_feed, "refused", _refusal(why))
            self._close(connection, feed, "failed", amazon_status=amazon_status, last_error=why[:_LONGEST_NOTE])

    def refused(self, feed: Row[Any], error: RefusedError) -> None:
        """Amazon refused to create the feed: nothing was done."""
        self.fail(feed, error.reason or error.code, is_final=True)

    def put_back(self, feed: Row[Any], error: OrdersError) -> None:
        """It failed: it waits, longer each time. At last it is given up, and what became of it is for people to see."""
        failures = feed.failures + 1
        if failures >= self._settings.failed_attempts:
            if feed.state == "submitted":
                self.finish(feed, BatchState("UNKNOWN", Progress.DONE), BatchReport(is_complete=False))
            else:
                self.fail(feed, f"Amazon did not take it in {failures} attempts", is_final=True)
            return
        later = self._clock() + growing(self._settings.in_doubt_gap, failures)
        self._change(feed, None, failures=failures, next_attempt_at=later, last_error=str(error)[:_LONGEST_NOTE])

    def _change(self, feed: Row[Any], states: Sequence[str] | None, **values: Any) -> None:
        with self._engine.begin() as connection:
            self._update(connection, feed, states, **values)

    def _close(self, connection: Connection, feed: Row[Any], state: str, **values: Any) -> None:
        self._update(connection, feed, None, state=state, done_at=self._clock(), next_attempt_at=None, **values)

    def _update(
        self,
        connection: Connection,
        feed: Row[Any],
        states: Sequence[str] | None,
        *conditions: ColumnElement[bool],
        **values: Any,
    ) -> bool:
        """Change the feed if it is open, in one of the states, and the conditions hold; True if it was changed."""
        stamp = {"dag_run_id": self._dag_run_id, "updated_at": self._clock()}
        statement = update(amazon_feeds).where(
            _FEED.feed_number == feed.feed_number, _FEED.done_at.is_(None), *conditions
        )
        if states is not None:
            statement = statement.where(_FEED.state.in_(states))
        return connection.execute(statement.values(values | stamp)).rowcount == 1

    def _end(
        self, connection: Connection, conditions: Sequence[ColumnElement[bool]], state: str, note: Any, **values: Any
    ) -> int:
        return self._set(connection, conditions, state=state, note=note, done_at=self._clock(), **values)

    def _set(self, connection: Connection, conditions: Sequence[ColumnElement[bool]], **values: Any) -> int:
        stamp = {"dag_run_id": self._dag_run_id, "updated_at": self._clock()}
        statement = update(cancellation_outbox).where(*conditions).values(values | stamp)
        return connection.execute(statement).rowcount


def _key(row: Row[Any]) -> list[ColumnElement[bool]]:
    return [
        _ASKED.amazon_order_id == row.amazon_order_id,
        _ASKED.requested_dag_run_id == row.requested_dag_run_id,
    ]


def _refusal(why: str) -> Any:
    return func.concat(
        "Amazon refused the cancellation that ",
        _ASKED.requested_by,
        f" asked for: {why[: _LONGEST_NOTE - 200]}. Look at the order in Seller Central; cancel it there or ship it.",
    )
