"""Carries out in Commerce what Amazon changed after an order was created: part of `create_commerce_orders`.

Per change: lock the order, read the Commerce order, decide from what it shows, commit that it is being sent, call once.
What the Commerce order shows decides, not what we remember: what anybody has canceled or credited there already is not
taken off again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder
from include.domain.errors import (
    MisconfiguredError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from include.domain.order_changes import Withdrawal, withdrawal
from include.domain.statuses import CANCELED_STATUSES
from include.outbox.address_changes import Addresses, write_addresses
from include.outbox.order_change_outbox import ADDRESS, CANCELED_UNITS, WHAT, DueChange, OrderChangeOutbox, due_changes
from include.outbox.work_loop import LoopReport, Outcome, work_through
from include.outbox.write_holds import WriteHolds
from include.settings import Settings


def carry_out_changes(
    engine: Engine,
    commerce: Callable[[str], CommerceClient],
    account_name: str,
    settings: Settings,
    *,
    addresses: Addresses,
    is_answering: Callable[[str], bool],
    clock: Callable[[], datetime],
    time_budget: timedelta,
    dag_run_id: str,
) -> LoopReport:
    """Carry out the account's changes that are due. `is_answering` probes the shop behind a connection.

    `addresses` gives the newest addresses of an order.
    """
    outbox = OrderChangeOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    holds = WriteHolds(engine, settings, clock=clock, dag_run_id=dag_run_id)

    def attempt(session: Connection, due: DueChange) -> Outcome:
        try:
            return _Change(outbox, session, commerce(due.system), due, addresses, holds).advance()
        except (MisconfiguredError, UnavailableError) as error:
            return Outcome("change_failed", error)

    def put_back(due: DueChange, error: UnavailableError) -> None:
        with engine.connect() as connection:
            row = outbox.read(connection, due)
        outbox.put_back(row, error)

    with engine.connect() as connection:
        rows = due_changes(connection, account_name, clock())
    holds.check_changes({row.store_name for row in rows if row.kind == CANCELED_UNITS})
    return work_through(
        engine,
        rows,
        attempt,
        is_answering=lambda due: is_answering(due.system),
        put_back=put_back,
        clock=clock,
        time_budget=time_budget,
        limit=settings.create_limit,
    )


@dataclass(frozen=True)
class _Change:
    """One change and its order's lock."""

    outbox: OrderChangeOutbox
    session: Connection  # in autocommit; holds the order's lock
    client: CommerceClient
    due: DueChange
    addresses: Addresses
    holds: WriteHolds

    def advance(self) -> Outcome:
        """Take the change as far as it goes now."""
        row = self.outbox.read(self.session, self.due)
        if row.done_at is not None:
            return Outcome("passed_over")
        if row.state == "sent":
            # The worker that sent it is gone, or we would not hold the order's lock.
            self.outbox.doubt(row, "interrupted")
            return Outcome("change_in_doubt")
        try:
            found = self.client.order(row.commerce_order_id)
        except NotFoundError:
            number = row.commerce_order_number
            self.outbox.finish(row, "skipped", f"{_what(row)}, but Commerce order {number} was deleted; nothing to do.")
            return Outcome("change_skipped")
        except RefusedError as error:
            return self.reject(row, error)
        if row.kind == ADDRESS:
            return write_addresses(self.outbox, self.session, self.client, row, found, self.addresses)
        ended = self.look(row, found, is_ours=row.state == "in_doubt")
        if ended is not None:
            return ended
        if row.state == "in_doubt":
            self.outbox.not_found(row)
            return Outcome("change_in_doubt")
        return self.send(row, found)

    def look(self, row: Row[Any], found: CommerceOrder, *, is_ours: bool) -> Outcome | None:
        """End the change if the Commerce order shows that nothing is left to do. `is_ours`: we may have done it."""
        if row.kind != CANCELED_UNITS:
            return self.look_at_hold(row, found, is_ours=is_ours)
        wanted = _wanted(row, found)
        return self.end(row, wanted, is_ours=is_ours) if wanted.action == "none" else None

    def look_at_hold(self, row: Row[Any], found: CommerceOrder, *, is_ours: bool) -> Outcome | None:
        """The same for a hold and for the release from it."""
        if row.kind == "release":
            return None if found.is_on_hold else self.end_hold(row, is_ours=is_ours)
        if found.is_on_hold:
            return self.end_hold(row, is_ours=is_ours)
        if found.state not in ("complete", "closed", "canceled"):
            return None
        note = f"The buyer asked to cancel; nothing is left to ship of Commerce order {row.commerce_order_number}."
        self.outbox.finish(row, "skipped", note)
        return Outcome("change_skipped")

    def send(self, row: Row[Any], found: CommerceOrder) -> Outcome:
        """Call Commerce once, unless the breaker has stopped what it would be."""
        if row.kind == CANCELED_UNITS:
            is_refund = _wanted(row, found).action != "cancel"
            if self.holds.is_change_stopped(self.session, self.due.store_name, is_refund=is_refund):
                return Outcome("stopped")
        try:
            stopped = self.outbox.send(self.session, row, lambda: self.call(row, found))
        except RefusedError as error:
            # Refused because somebody was quicker: then it is done.
            after = self.look(row, self.client.order(row.commerce_order_id), is_ours=False)
            return after or self.reject(row, error)
        if stopped is not None:
            return stopped
        if row.kind != CANCELED_UNITS:
            return self.end_hold(row, is_ours=True)
        return self.end(row, _wanted(row, found), is_ours=True)

    def call(self, row: Row[Any], found: CommerceOrder) -> None:
        """The call of this change."""
        order_id = row.commerce_order_id
        if row.kind == "hold":
            is_done = self.client.hold(order_id)
        elif row.kind == "release":
            is_done = self.client.unhold(order_id)
        else:
            wanted = _wanted(row, found)
            if wanted.action != "cancel":
                self.client.refund(order_id, wanted.units, with_shipping=wanted.action == "credit_all")
                return
            is_done = self.client.cancel(order_id)
        if not is_done:
            text = "the order does not allow it in its state"
            raise RefusedError(f"Commerce answered that {text}.", code="not_done", reason=text)

    def end_hold(self, row: Row[Any], *, is_ours: bool) -> Outcome:
        """The Commerce order is on hold, or released from it. A hold that a person has set is not ours to release."""
        number = row.commerce_order_number
        if row.kind == "hold":
            note = (
                f"The buyer asked to cancel; Commerce order {number} was put on hold. Cancel it in Seller Central, or "
                "release it in Commerce to ship it."
            )
            self.outbox.finish(row, "done" if is_ours else "skipped", note)
        else:
            note = f"The buyer's request to cancel is gone; Commerce order {number} is released from hold."
            self.outbox.finish(row, "done", note)
        return Outcome("changed")

    def end(self, row: Row[Any], wanted: Withdrawal, *, is_ours: bool) -> Outcome:
        """Nothing is left to take off the Commerce order."""
        number, what, shipped = row.commerce_order_number, _what(row), wanted.shipped_too_many
        tail = (
            f" {_units(shipped)} had been shipped in Commerce before; nothing was credited for that. "
            "Ask the buyer for a return, or contact Amazon."
            if shipped
            else ""
        )
        if wanted.action == "cancel":
            self.outbox.finish(row, "done", f"{what}; Commerce order {number} was canceled.{tail}")
        elif wanted.units or (is_ours and not shipped):
            advice = ", do not ship" if row.amazon_status in CANCELED_STATUSES else ": ship only the rest"
            self.outbox.finish(row, "done", f"{what}; taken off Commerce order {number}{advice}.{tail}")
        elif shipped:
            self.outbox.finish(row, "skipped", f"{what}.{tail}")
            return Outcome("change_skipped")
        else:
            self.outbox.finish(row, "done", f"{what}; Commerce order {number} had been changed already.")
        return Outcome("changed")

    def reject(self, row: Row[Any], error: RefusedError) -> Outcome:
        """Commerce refused the call."""
        number, reason = row.commerce_order_number, error.reason or error.code
        self.outbox.reject(row, error, f"{_what(row)}, but Commerce refuses to change order {number}: {reason}.")
        return Outcome("change_refused")


def _wanted(row: Row[Any], found: CommerceOrder) -> Withdrawal:
    keep = {
        item.get("commerce_item_id") or found.item_ids.get(item["amazon_item_id"], ""): item["keep_qty"]
        for item in row.items
    }
    return withdrawal(found.lines, keep, is_invoiced=found.is_invoiced)


def _what(row: Row[Any]) -> str:
    if row.kind != CANCELED_UNITS:
        return WHAT[row.kind]
    if row.amazon_status in CANCELED_STATUSES:
        return "Amazon canceled the order"
    lines = [f"{_units(item['canceled_qty'])} of {item['seller_sku']}" for item in row.items]
    listed = ", ".join(lines[:3]) + (f" and {len(lines) - 3} more lines" if len(lines) > 3 else "")
    return f"Amazon canceled {listed}"


def _units(count: int) -> str:
    return "1 unit" if count == 1 else f"{count} units"
