"""`ops.order_outbox`: the Commerce orders that we intend to create, and how far each has come.

A row is planned by validation, and committed as sent before the order is posted. Each method is one transaction that
moves the row, the order's pipeline state and its blockers together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, case, select, update

from include.adapters.commerce.documents import CommerceOrder
from include.database.statements import load_statements
from include.database.tables import order_outbox
from include.domain.blockers import BLOCKER_CODES
from include.domain.errors import NotFoundError, OrdersError, RefusedError
from include.domain.order_changes import LineUnits
from include.outbox.blocker_episodes import Blocker, close_episodes, open_episodes
from include.outbox.order_change_outbox import plan_addresses
from include.outbox.order_lines import link_lines
from include.outbox.pipeline_state import move_orders
from include.outbox.shop_findings import record_findings
from include.outbox.work_loop import growing
from include.settings import Settings

TOTAL_DIFFERS = "commerce_total_differs"  # a finding
_LONGEST_ERROR = 500


@dataclass(frozen=True)
class DueOrder:
    """An open row whose time has come. `system` is the Airflow connection of its shop."""

    amazon_order_id: str
    system: str
    store_name: str


@dataclass(frozen=True)
class PlannedOrder:
    """A Commerce order that validation plans. `increment_id` None: Commerce draws the number."""

    amazon_order_id: str
    account_name: str
    store_name: str
    commerce_connection: str
    commerce_store_view: str
    increment_id: str | None


def accounts_with_work(connection: Connection, now: datetime) -> list[str]:
    """The accounts that have orders to create, look up or finish at `now` (aware, UTC), by name."""
    return list(connection.execute(load_statements(__file__)["accounts_with_work"], {"now": now}).scalars())


def due_orders(connection: Connection, account_name: str, now: datetime) -> list[DueOrder]:
    """The account's rows that are due: those without failures first, then oldest purchase first."""
    rows = connection.execute(load_statements(__file__)["due_orders"], {"account_name": account_name, "now": now})
    return [DueOrder(row.amazon_order_id, row.system, row.store_name) for row in rows]


def plan_orders(
    connection: Connection,
    orders: Sequence[PlannedOrder],
    *,
    refused_before: Collection[str],
    now: datetime,
    dag_run_id: str,
) -> None:
    """Plan these orders, unless they were sent already. `refused_before`: unchanged since Commerce refused them."""
    if orders:
        columns = {name: [getattr(order, name) for order in orders] for name in PlannedOrder.__dataclass_fields__}
        values = columns | {"refused_before": sorted(refused_before), "now": now, "dag_run_id": dag_run_id}
        connection.execute(load_statements(__file__)["plan_orders"], values)


def withdraw_orders(connection: Connection, order_ids: Collection[str], *, now: datetime, dag_run_id: str) -> None:
    """Take back the rows of these orders that were not sent."""
    values = {"order_ids": sorted(order_ids), "now": now, "dag_run_id": dag_run_id}
    connection.execute(load_statements(__file__)["withdraw_orders"], values)


def sent_orders(connection: Connection, order_ids: Collection[str]) -> set[str]:
    """Those of the orders that Commerce has or may have; their rows are locked until the transaction ends."""
    return set(
        connection.execute(load_statements(__file__)["sent_meanwhile"], {"order_ids": sorted(order_ids)}).scalars()
    )


def probe_refusals(connection: Connection, *, now: datetime, gap: timedelta, dag_run_id: str) -> None:
    """Make due, of all orders of a shop that wait for the same cause to go, the one that was tried longest ago.

    Not before `gap` has passed since the last of them was tried. When it passes, the others follow (`link`).
    """
    values = {"now": now, "tried_before": now - gap, "dag_run_id": dag_run_id}
    connection.execute(load_statements(__file__)["probe_refusals"], values)


class OrderOutbox:
    """The rows of orders that are being created. Only writer of `ops.order_outbox` from `sent` on."""

    def __init__(self, engine: Engine, settings: Settings, *, clock: Callable[[], datetime], dag_run_id: str) -> None:
        """`clock` gives the time, aware, UTC."""
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._dag_run_id = dag_run_id

    def read(self, connection: Connection, order_id: str) -> Row[Any]:
        """The row of one order."""
        return connection.execute(select(order_outbox).where(order_outbox.c.amazon_order_id == order_id)).one()

    def mark_sent(
        self,
        session: Connection,
        order_id: str,
        request_sha256: str,
        contact_loaded_at: datetime | None,
        conversion: Mapping[str, Any],
    ) -> bool:
        """Commit that the order is being posted, before it is. False: the row is not planned any more; do not post.

        On the session that holds the order's lock: if that session is lost, so is the lock, and nothing may be sent.
        """
        return self._update(
            session,
            order_id,
            order_outbox.c.state == "planned",
            state="sent",
            sent_at=self._clock(),
            attempts=order_outbox.c.attempts + 1,
            not_found_count=0,
            request_sha256=request_sha256,
            contact_loaded_at=contact_loaded_at,
            last_error_code=None,
            last_error=None,
            **conversion,
        )

    def not_sent(self, order_id: str, error: OrdersError) -> None:
        """The order was not created, and that is certain: it can be posted again."""
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.state == "sent",
                state="planned",
                next_attempt_at=None,
                last_error_code="unavailable",
                last_error=str(error)[:_LONGEST_ERROR],
            )
            self._move(connection, order_id, "ready", f"Not created yet: {error}")

    def doubt(self, order_id: str, code: str, error: str) -> None:
        """The order may exist in Commerce: it is looked up after a pause, and not posted again before."""
        with self._engine.begin() as connection:
            self._look_up_later(connection, order_id, 0, code, error)
            self._move(
                connection,
                order_id,
                "in_doubt",
                "Sent to Commerce, but the answer was lost; it is looked up before it is sent again. Nothing to do.",
            )

    def not_found(self, row: Row[Any]) -> None:
        """Commerce does not have the order in doubt. Only the second time in a row allows another post."""
        order_id = row.amazon_order_id
        with self._engine.begin() as connection:
            if row.not_found_count + 1 < 2:
                count = row.not_found_count + 1
                self._look_up_later(connection, order_id, count, row.last_error_code, row.last_error)
                return
            self._update(
                connection, order_id, order_outbox.c.state == "in_doubt", state="planned", next_attempt_at=None
            )
            reason = "Commerce does not have the order, looked up twice; it is sent again."
            self._move(connection, order_id, "ready", reason)

    def link(self, order_id: str, state: str, found: LinkedOrder) -> None:
        """Commit the id of the Commerce order, `created` or `adopted`: from here on it can never be posted again."""
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.commerce_order_id.is_(None),
                state=state,
                commerce_order_id=found.order_id,
                commerce_order_number=found.number,
                linked_at=self._clock(),
                linked_dag_run_id=self._dag_run_id,
                # One that we never sent is taken as it is.
                contact_loaded_at=case(
                    (order_outbox.c.attempts == 0, found.contact_loaded_at), else_=order_outbox.c.contact_loaded_at
                ),
                has_other_total=any(warning.blocker_code == TOTAL_DIFFERS for warning in found.warnings),
                next_attempt_at=None,
                failures=0,
                last_error_code=None,
                last_error=None,
            )
            for name in ("release_stock_of_amazon", "watch_shipments", "release_refused", "resume_after_refusals"):
                connection.execute(load_statements(__file__)[name], {"order_id": order_id, "now": self._clock()})
            plan_addresses(connection, [order_id], now=self._clock(), dag_run_id=self._dag_run_id)
            self._close(connection, order_id, "solved")
            for warning in found.warnings:
                self._open(connection, warning)
            self._move(connection, order_id, "created", f"Created in Commerce as {found.number}.")
            # Last: staging locks orders before lines, too; the other way round the two would deadlock.
            link_lines(connection, order_id, found.lines)
            record_findings(connection, {order_id: found.in_shop}, now=self._clock(), dag_run_id=self._dag_run_id)

    def reject(self, row: Row[Any], error: RefusedError) -> None:
        """Commerce refused the order: block it with Commerce's reason, and try again some times at growing distance.

        After that, it waits until Amazon changes it, or until another one that was refused for the same cause passes
        (`probe_refusals`).
        """
        order_id, refusals = row.amazon_order_id, row.refusals + 1
        is_last = refusals >= self._settings.refused_attempts
        code = BLOCKER_CODES["rejected_by_commerce"]
        message = code.sentence.format(reason=error.reason or error.code)[:400]
        remedy = code.remedy
        if is_last:
            remedy = (
                f"Refused {refusals} times. Fix what Commerce names; of the orders refused for this cause, one is sent "
                "again now and then, and the others follow when it passes."
            )
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.state.in_(["planned", "sent"]),
                state="rejected",
                next_attempt_at=None if is_last else self._later(self._settings.refused_retry, refusals, doublings=6),
                refusals=refusals,
                refusal_cause=error.cause,
                last_error_code=error.code,
                last_error=message,
            )
            self._open(connection, Blocker(order_id, code.code, message, remedy=remedy))
            self._move(connection, order_id, "rejected", message)

    def withdraw(self, order_id: str, state: str, reason: str, closed_by: str) -> None:
        """No Commerce order is wanted any more, and none exists: the order goes to the pipeline state `state`."""
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.state.in_(["planned", "in_doubt"]),
                state="canceled",
                next_attempt_at=None,
                failures=0,
            )
            self._close(connection, order_id, closed_by)
            self._move(connection, order_id, state, reason)

    def put_back(self, row: Row[Any], cause: str) -> None:
        """The order failed although its shop answers: it waits, longer each time, until a person has to look."""
        order_id, failures = row.amazon_order_id, row.failures + 1
        is_linked = row.commerce_order_id is not None
        what = f"Commerce order {row.commerce_order_number} exists, but is not invoiced" if is_linked else "Not created"
        values: dict[str, Any] = {"failures": failures, "last_error_code": "unavailable"}
        with self._engine.begin() as connection:
            if failures >= self._settings.failed_attempts:
                message = f"{what} after {failures} attempts: {cause}"[:_LONGEST_ERROR]
                values |= {"needs_attention_at": self._clock(), "next_attempt_at": None}
                state = "created" if is_linked else "needs_attention"
                self._open(connection, Blocker(order_id, "needs_attention", message))
            else:
                message = f"{what} yet: {cause}"[:_LONGEST_ERROR]
                values["next_attempt_at"] = self._later(self._settings.in_doubt_gap, failures)
                state = "created" if is_linked else "in_doubt" if row.state in ("sent", "in_doubt") else "ready"
            self._update(connection, order_id, order_outbox.c.finished_at.is_(None), last_error=message, **values)
            if state != "in_doubt":  # the order's note says that already, and what happens next
                self._move(connection, order_id, state, message)

    def finish_refused(self, row: Row[Any], error: RefusedError) -> None:
        """Commerce refused to invoice the order: it is blocked with the reason and tried again at growing distance."""
        order_id, failures = row.amazon_order_id, row.failures + 1
        number = row.commerce_order_number
        message = f"Commerce order {number} exists, but its invoice was refused: {error.reason}"
        if isinstance(error, NotFoundError):
            message = f"Commerce order {number} is not invoiced: Commerce does not find it. It may have been deleted."
        message = message[:_LONGEST_ERROR]
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.finished_at.is_(None),
                failures=failures,
                next_attempt_at=self._later(self._settings.refused_retry, failures),
                last_error_code=error.code,
                last_error=message,
            )
            self._open(connection, Blocker(order_id, "rejected_by_commerce", message))
            self._move(connection, order_id, "created", message)

    def explain(self, order_id: str, reason: str) -> None:
        """Note why a planned order is not created yet; other orders keep their reason."""
        with self._engine.begin() as connection:
            if self.read(connection, order_id).state != "planned":
                return
            self._move(connection, order_id, "ready", f"Not created yet: {reason}")

    def need_attention(self, order_id: str, message: str) -> None:
        """The order cannot be created as it is, and no other attempt would change that: a person decides."""
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.state == "planned",
                needs_attention_at=self._clock(),
                next_attempt_at=None,
                last_error_code="needs_attention",
                last_error=message[:_LONGEST_ERROR],
            )
            self._open(connection, Blocker(order_id, "needs_attention", message[:_LONGEST_ERROR]))
            self._move(connection, order_id, "needs_attention", message)

    def mark_invoiced(self, order_id: str) -> None:
        """Commit that the Commerce order is invoiced."""
        with self._engine.begin() as connection:
            self._update(connection, order_id, order_outbox.c.invoiced_at.is_(None), invoiced_at=self._clock())

    def finish(self, row: Row[Any]) -> None:
        """Commit that nothing is left to do for the creation."""
        order_id = row.amazon_order_id
        with self._engine.begin() as connection:
            self._update(
                connection,
                order_id,
                order_outbox.c.finished_at.is_(None),
                finished_at=self._clock(),
                next_attempt_at=None,
                failures=0,
                last_error_code=None,
                last_error=None,
            )
            self._close(connection, order_id, "solved")
            self._move(connection, order_id, "created", f"Created in Commerce as {row.commerce_order_number}.")

    def _look_up_later(
        self, connection: Connection, order_id: str, not_found_count: int, code: str | None, error: str | None
    ) -> None:
        self._update(
            connection,
            order_id,
            order_outbox.c.state.in_(["sent", "in_doubt"]),
            state="in_doubt",
            next_attempt_at=self._clock() + self._settings.in_doubt_gap,
            not_found_count=not_found_count,
            last_error_code=code,
            last_error=error[:_LONGEST_ERROR] if error else None,
        )

    def _later(self, gap: timedelta, failures: int, *, doublings: int = 8) -> datetime:
        return self._clock() + growing(gap, failures, doublings=doublings)

    def _close(self, connection: Connection, order_id: str, closed_by: str) -> None:
        """Close what blocked the order. What only warns stays, if it is `solved`."""
        stamp: dict[str, Any] = {"now": self._clock(), "dag_run_id": self._dag_run_id}
        close_episodes(connection, {order_id: closed_by}, **stamp, is_creation_over=True)

    def _open(self, connection: Connection, blocker: Blocker) -> None:
        open_episodes(connection, [blocker], now=self._clock(), dag_run_id=self._dag_run_id)

    def _move(self, connection: Connection, order_id: str, state: str, reason: str) -> None:
        move_orders(connection, [(order_id, state, reason)], now=self._clock(), dag_run_id=self._dag_run_id)

    def _update(self, connection: Connection, order_id: str, condition: ColumnElement[bool], **values: Any) -> bool:
        """Change the row if the condition holds; True if it was changed."""
        values |= {"dag_run_id": self._dag_run_id, "updated_at": self._clock()}
        statement = update(order_outbox).where(order_outbox.c.amazon_order_id == order_id, condition)
        return connection.execute(statement.values(values)).rowcount == 1


@dataclass(frozen=True)
class LinkedOrder:
    """The Commerce order to link: its entity_id, its number, and its lines by Amazon's item ids.

    `in_shop` are all orders that the shop has for the Amazon order, `warnings` is what a person should look at,
    `contact_loaded_at` is the version of the contact known now.
    """

    order_id: str
    number: str
    lines: dict[str, LineUnits]
    in_shop: Sequence[CommerceOrder]
    warnings: Sequence[Blocker] = ()
    contact_loaded_at: datetime | None = None
