"""`ops.order_change_outbox`: what Amazon changed after an order was created, and how far Commerce has followed.

A row is planned when staging has seen the change, and committed as sent before Commerce is called. An unknown outcome
is looked up in the Commerce order, twice, before the call may be made again. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, select, update

from include.database.statements import load_statements
from include.database.tables import order_change_outbox, order_outbox, orders
from include.domain.errors import (
    MisconfiguredError,
    OrdersError,
    OutcomeUnknownError,
    RefusedError,
    UnavailableError,
)
from include.outbox.blocker_episodes import close_findings
from include.outbox.work_loop import Outcome, growing
from include.settings import Settings

ADDRESS = "address"
CANCELED_UNITS = "canceled_units"
_LONGEST_NOTE = 400
_MAY_BE_SENT = ("planned", "rejected")
WHAT = {
    "canceled_units": "Canceled on Amazon",
    "hold": "The buyer asked to cancel",
    "release": "The buyer's request to cancel is gone",
    "address": "Amazon gave a new delivery address",
}
_BY_HAND = {
    "canceled_units": "Cancel these units in Commerce by hand, or credit them if invoiced; do not ship them.",
    "hold": "Put it on hold in Commerce by hand, or do not ship it.",
    "release": "Release it in Commerce by hand.",
    "address": "Enter it in Commerce by hand; it is in Seller Central.",
}


@dataclass(frozen=True)
class DueChange:
    """An open row whose time has come. `system` is the Airflow connection of its shop."""

    amazon_order_id: str
    kind: str
    payload_sha256: str
    system: str
    store_name: str


def plan_changes(connection: Connection, *, now: datetime, dag_run_id: str) -> None:
    """Plan what Amazon changed on orders that Commerce has, each change once."""
    for name in ("plan_canceled_units", "plan_holds", "plan_releases"):
        connection.execute(load_statements(__file__)[name], {"now": now, "dag_run_id": dag_run_id})


def plan_addresses(connection: Connection, order_ids: Collection[str], *, now: datetime, dag_run_id: str) -> None:
    """Plan the address of those of these orders that Commerce has and whose contact has changed since.

    It takes locks in the order of a creation: rows of `ops.order_outbox` first. So it is not for staging, which has
    locked orders before.
    """
    values = {"order_ids": sorted(order_ids), "now": now, "dag_run_id": dag_run_id}
    connection.execute(load_statements(__file__)["plan_addresses"], values)


def accounts_with_changes(connection: Connection, now: datetime) -> list[str]:
    """The accounts that have changes to carry out or to look up at `now` (aware, UTC), by name."""
    return list(connection.execute(load_statements(__file__)["accounts_with_changes"], {"now": now}).scalars())


def due_changes(connection: Connection, account_name: str, now: datetime) -> list[DueChange]:
    """The account's changes that are due: those without failures first, then the oldest."""
    values = {"account_name": account_name, "now": now}
    return [DueChange(**row._mapping) for row in connection.execute(load_statements(__file__)["due_changes"], values)]


class OrderChangeOutbox:
    """The changes of one run. Only writer of the table once a row is planned."""

    def __init__(self, engine: Engine, settings: Settings, *, clock: Callable[[], datetime], dag_run_id: str) -> None:
        """`clock` gives the time, aware, UTC."""
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._dag_run_id = dag_run_id

    def read(self, connection: Connection, due: DueChange) -> Row[Any]:
        """The row, with the order's `amazon_status`, `commerce_order_id` and `commerce_order_number`."""
        created = order_outbox.c
        statement = (
            select(
                order_change_outbox, orders.c.amazon_status, created.commerce_order_id, created.commerce_order_number
            )
            .join(orders, orders.c.amazon_order_id == order_change_outbox.c.amazon_order_id)
            .join(order_outbox, created.amazon_order_id == order_change_outbox.c.amazon_order_id)
            .where(*_key(due))
        )
        return connection.execute(statement).one()

    def send(self, session: Connection, row: Row[Any], call: Callable[[], None]) -> Outcome | None:
        """Commit that Commerce is being called, then make the one `call`. None: Commerce has done it.

        Raises RefusedError, which leaves the row as sent, and what says that certainly nothing was done.
        """
        if not self.mark_sent(session, row):
            return Outcome("passed_over")
        try:
            call()
        except OutcomeUnknownError as error:
            self.doubt(row, "unknown_outcome")
            return Outcome("change_in_doubt", error)
        except (UnavailableError, MisconfiguredError) as error:
            self.not_sent(row, error)
            raise
        return None

    def mark_sent(self, session: Connection, row: Row[Any]) -> bool:
        """Commit that Commerce is being called, before it is. False: somebody else has done it; do not call.

        On the session that holds the order's lock: if that session is lost, so is the lock, and nothing may be sent.
        """
        return self._update(
            session,
            row,
            order_change_outbox.c.state.in_(_MAY_BE_SENT),
            state="sent",
            sent_at=self._clock(),
            attempts=order_change_outbox.c.attempts + 1,
            not_found_count=0,
        )

    def not_sent(self, row: Row[Any], error: OrdersError) -> None:
        """Commerce has done nothing, and that is certain: the change can be sent again."""
        with self._engine.begin() as connection:
            self._update(
                connection, row, state="planned", last_error_code="unavailable", note=self._waiting(row, error)
            )

    def doubt(self, row: Row[Any], code: str) -> None:
        """Commerce may have done it: the order is looked at after a pause, and nothing is sent before."""
        with self._engine.begin() as connection:
            self._look_later(connection, row, 0, code)

    def not_found(self, row: Row[Any]) -> None:
        """The Commerce order shows nothing of the change in doubt. Only the second time allows another call."""
        with self._engine.begin() as connection:
            if row.not_found_count + 1 < 2:
                self._look_later(connection, row, row.not_found_count + 1, row.last_error_code)
            else:
                self._update(connection, row, state="planned", next_attempt_at=None)

    def finish(self, row: Row[Any], state: str, note: str | None) -> None:
        """Nothing is left to do: `done`, or `skipped` because nothing could be done. `note` says so to people."""
        with self._engine.begin() as connection:
            self._update(
                connection,
                row,
                state=state,
                done_at=self._clock(),
                next_attempt_at=None,
                last_error_code=None,
                note=note[:_LONGEST_NOTE] if note else None,
            )
            if row.kind == ADDRESS and note and state == "done":
                found = [(row.amazon_order_id, "placeholder_address")]
                close_findings(connection, found, now=self._clock(), dag_run_id=self._dag_run_id)

    def reject(self, row: Row[Any], error: RefusedError, note: str) -> None:
        """Commerce refused it: tried again some times at growing distance; then a person does it by hand."""
        refusals = row.refusals + 1
        is_last = refusals >= self._settings.refused_attempts
        tail = _BY_HAND[row.kind] if is_last else f"It is tried again. Otherwise: {_BY_HAND[row.kind]}"
        with self._engine.begin() as connection:
            self._update(
                connection,
                row,
                state="rejected",
                refusals=refusals,
                next_attempt_at=None if is_last else self._clock() + growing(self._settings.refused_retry, refusals),
                done_at=self._clock() if is_last else None,
                last_error_code=error.code,
                note=f"{note[: _LONGEST_NOTE - 80]} {tail}",
            )

    def put_back(self, row: Row[Any], error: OrdersError) -> None:
        """It failed although the shop answers: it waits, longer each time, until a person has to do it."""
        failures = row.failures + 1
        is_last = failures >= self._settings.failed_attempts
        note = self._waiting(row, error)
        if is_last:
            number = row.commerce_order_number
            note = f"{WHAT[row.kind]}, but Commerce order {number} has not followed after {failures} attempts: "
            note += f"{_BY_HAND[row.kind]} {error}"
        with self._engine.begin() as connection:
            self._update(
                connection,
                row,
                failures=failures,
                next_attempt_at=None if is_last else self._clock() + growing(self._settings.in_doubt_gap, failures),
                done_at=self._clock() if is_last else None,
                last_error_code="unavailable",
                note=note[:_LONGEST_NOTE],
            )

    def _waiting(self, row: Row[Any], error: OrdersError) -> str:
        note = f"{WHAT[row.kind]}, but Commerce order {row.commerce_order_number} has not followed yet: {error}"
        return note[:_LONGEST_NOTE]

    def _look_later(self, connection: Connection, row: Row[Any], not_found_count: int, code: str | None) -> None:
        self._update(
            connection,
            row,
            order_change_outbox.c.state.in_(["sent", "in_doubt"]),
            state="in_doubt",
            next_attempt_at=self._clock() + self._settings.in_doubt_gap,
            not_found_count=not_found_count,
            last_error_code=code,
            note=f"{WHAT[row.kind]}; whether Commerce order {row.commerce_order_number} has followed is looked up. "
            "Nothing to do.",
        )

    def _update(self, connection: Connection, row: Row[Any], *conditions: ColumnElement[bool], **values: Any) -> bool:
        """Change the row if it is open and the conditions hold; True if it was changed."""
        stamp = {"dag_run_id": self._dag_run_id, "updated_at": self._clock()}
        statement = update(order_change_outbox).where(*_key(row), order_change_outbox.c.done_at.is_(None), *conditions)
        return connection.execute(statement.values(values | stamp)).rowcount == 1


def _key(row: DueChange | Row[Any]) -> tuple[ColumnElement[bool], ...]:
    change = order_change_outbox.c
    return (
        change.amazon_order_id == row.amazon_order_id,
        change.kind == row.kind,
        change.payload_sha256 == row.payload_sha256,
    )
