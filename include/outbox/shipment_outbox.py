"""`ops.shipment_outbox`: the packages that we intend to confirm to Amazon, and what Amazon answered. Only writer.

A package keeps its reference for good: the same reference again changes the same package on Amazon, so a repeat is
harmless. Only what Amazon shows when it is read back counts as accepted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Row,
    Select,
    column,
    delete,
    exists,
    func,
    insert,
    select,
    table,
    update,
)

from include.database.tables import order_change_outbox, shipment_outbox
from include.domain.errors import OrdersError
from include.domain.packages import KnownPackage, NewPackage, Seen, SentPackage, Track
from include.outbox.work_loop import growing
from include.settings import Settings

_LONGEST_ERROR = 500
# Rows that still need work by themselves: to be sent to Amazon, or read back from it.
OPEN_STATES = ("planned", "sent", "in_doubt")
_open_requests = table("open_cancel_requests", column("amazon_order_id"), schema="core")
_NUMBER = shipment_outbox.c.package_reference_id.cast(Integer)


@dataclass(frozen=True)
class DuePackage:
    """A planned package whose time has come. `system` is the account whose Amazon it is sent to."""

    amazon_order_id: str
    package_reference_id: str
    system: str

    @property
    def store_name(self) -> str:
        """Amazon's side knows accounts only."""
        return self.system


@dataclass(frozen=True)
class DueOrder:
    """An order with sent packages that are due to be read back."""

    amazon_order_id: str
    system: str
    package_reference_ids: tuple[str, ...]
    marketplace_id: str
    sent_at: datetime  # the first of its packages

    @property
    def store_name(self) -> str:
        """Amazon's side knows accounts only."""
        return self.system


def accounts_with_packages(connection: Connection) -> list[str]:
    """The accounts that have packages to send or to read back, by name."""
    account_name = shipment_outbox.c.account_name
    statement = select(account_name).where(shipment_outbox.c.state.in_(OPEN_STATES)).distinct().order_by(account_name)
    return list(connection.execute(statement).scalars())


def due_packages(connection: Connection, account_name: str, now: datetime) -> list[DuePackage]:
    """The account's planned packages that are due: those without failures first, then the oldest."""
    due = shipment_outbox.c
    statement = (
        select(due.amazon_order_id, due.package_reference_id)
        .where(due.account_name == account_name, due.state == "planned", _is_due(now))
        .order_by(due.failures, due.shipped_at, due.amazon_order_id, _NUMBER)
    )
    return [
        DuePackage(row.amazon_order_id, row.package_reference_id, account_name) for row in connection.execute(statement)
    ]


def orders_to_read_back(
    connection: Connection, account_name: str, now: datetime, sent_before: datetime
) -> list[DueOrder]:
    """The account's orders with packages sent before `sent_before` and due to be read: those without failures first."""
    due = shipment_outbox.c
    statement: Select[Any] = (
        select(due.amazon_order_id, due.package_reference_id, due.failures, due.marketplace_id, due.sent_at)
        .where(
            due.account_name == account_name,
            due.state.in_(["sent", "in_doubt"]),
            due.sent_at <= sent_before,
            _is_due(now),
        )
        .order_by(due.failures, due.amazon_order_id, _NUMBER)
    )
    by_order: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(statement):
        by_order[row.amazon_order_id].append(row)
    return [
        DueOrder(
            order_id,
            account_name,
            tuple(row.package_reference_id for row in rows),
            rows[0].marketplace_id,
            min(row.sent_at for row in rows),
        )
        for order_id, rows in by_order.items()
    ]


def _is_due(now: datetime) -> ColumnElement[bool]:
    return func.coalesce(shipment_outbox.c.next_attempt_at, now) <= now


class ShipmentOutbox:
    """The packages of one run. Methods without a connection are one transaction each."""

    def __init__(self, engine: Engine, settings: Settings, *, clock: Callable[[], datetime], dag_run_id: str) -> None:
        """`clock` gives the time, aware, UTC."""
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._dag_run_id = dag_run_id

    def known_packages(self, connection: Connection, order_id: str) -> list[KnownPackage]:
        """Every package of the order, locked until the transaction ends."""
        rows = connection.execute(
            select(shipment_outbox).where(shipment_outbox.c.amazon_order_id == order_id).with_for_update()
        )
        return [
            KnownPackage(
                reference_id=row.package_reference_id,
                shipment_id=row.commerce_shipment_id,
                track_id=row.commerce_track_id,
                carrier_code=row.carrier_code,
                carrier_name=row.carrier_name,
                tracking_number=row.tracking_number,
                units=read_units(row),
                is_skipped=row.state == "skipped",
                error_code=row.last_error_code,
            )
            for row in rows
        ]

    def plan(self, connection: Connection, package: NewPackage, shipment: Row[Any]) -> None:
        """Plan a package of `shipment`, or keep that it is skipped and why."""
        skipped_code, skipped_message = package.skipped or (None, None)
        connection.execute(
            insert(shipment_outbox).values(
                amazon_order_id=shipment.amazon_order_id,
                package_reference_id=package.reference_id,
                account_name=shipment.account_name,
                marketplace_id=shipment.marketplace_id,
                commerce_connection=shipment.commerce_connection,
                commerce_shipment_id=shipment.commerce_shipment_id,
                commerce_track_id=package.track.track_id,
                **_carrier(package.track),
                shipping_method=package.track.shipping_method or shipment.service_level,
                shipped_at=shipment.shipped_at,
                items=_items(package.units),
                state="skipped" if package.skipped else "planned",
                last_error_code=skipped_code,
                last_error=skipped_message,
                planned_at=self._clock(),
                **self._stamp(),
            )
        )

    def drop(self, connection: Connection, order_id: str, reference_id: str) -> None:
        """Remove a package that was skipped for want of units."""
        skipped = shipment_outbox.c.state == "skipped"
        connection.execute(delete(shipment_outbox).where(*_key(order_id, reference_id), skipped))

    def follow(self, connection: Connection, order_id: str, reference_id: str, track_id: str) -> None:
        """Another track has taken the place of the package's own."""
        self._update(connection, order_id, reference_id, commerce_track_id=track_id)

    def change(self, connection: Connection, order_id: str, reference_id: str, track: Track) -> bool:
        """The track was corrected in Commerce: the package is sent again under its reference, unless it is skipped."""
        return self._update(
            connection,
            order_id,
            reference_id,
            shipment_outbox.c.state != "skipped",
            **_carrier(track),
            **({"shipping_method": track.shipping_method} if track.shipping_method else {}),
            state="planned",
            accepted_at=None,
            next_attempt_at=None,
            verify_count=0,
            failures=0,
        )

    def awaits_decision(self, session: Connection, package: DuePackage) -> bool:
        """Whether the seller still has to decide about the buyer's request to cancel; the package then keeps why.

        Who ships after our hold in Commerce has decided. Otherwise the parcel may still be stopped: the package waits
        until the request is gone, at most `cancel_request_wait` after the shipment, and then is confirmed.
        """
        hold, key = order_change_outbox.c, _key(package.amazon_order_id, package.package_reference_id)
        is_decided = exists().where(
            hold.amazon_order_id == package.amazon_order_id,
            hold.kind == "hold",
            hold.done_at <= shipment_outbox.c.shipped_at,
        )
        statement = select(shipment_outbox.c.commerce_shipment_id).where(
            *key,
            shipment_outbox.c.state == "planned",
            shipment_outbox.c.shipped_at > self._clock() - self._settings.cancel_request_wait,
            exists().where(_open_requests.c.amazon_order_id == package.amazon_order_id),
            ~is_decided,
        )
        shipment_id = session.execute(statement).scalar_one_or_none()
        if shipment_id is None:
            return False
        error = (
            f"The buyer asked to cancel before shipment {shipment_id} was confirmed to Amazon. Stop the parcel and "
            "cancel in Seller Central, or let it go: then it is confirmed by itself."
        )
        self._update(
            session,
            package.amazon_order_id,
            package.package_reference_id,
            last_error_code="buyer_requested_cancel",
            last_error=error,
        )
        return True

    def mark_sending(self, session: Connection, package: DuePackage) -> Row[Any] | None:
        """Commit, before the call, that its outcome is unknown until Amazon's answer is seen.

        Returns the row to send; None when it is not planned any more. On the session that holds the order's lock.
        """
        statement = (
            update(shipment_outbox)
            .where(
                *_key(package.amazon_order_id, package.package_reference_id),
                shipment_outbox.c.state == "planned",
            )
            .values(
                state="in_doubt",
                sent_at=self._clock(),
                attempts=shipment_outbox.c.attempts + 1,
                verify_count=0,
                next_attempt_at=None,
                last_error_code="interrupted",
                last_error="The task ended before Amazon's answer was seen.",
                **self._stamp(),
            )
            .returning(*shipment_outbox.c)
        )
        return session.execute(statement).one_or_none()

    def mark_sent(self, package: DuePackage) -> None:
        """Amazon took the call; whether it has the package is seen when it is read back."""
        self._after_call(package, state="sent", failures=0, last_error_code=None, last_error=None)

    def doubt(self, package: DuePackage, code: str, error: str) -> None:
        """Whether Amazon has the package is unknown: it is read back."""
        self._after_call(package, state="in_doubt", last_error_code=code, last_error=error[:_LONGEST_ERROR])

    def not_sent(self, package: DuePackage, error: OrdersError) -> None:
        """Amazon has done nothing, and that is certain: the package is sent again."""
        self._after_call(
            package, state="planned", last_error_code="unavailable", last_error=str(error)[:_LONGEST_ERROR]
        )

    def reject(self, package: DuePackage, code: str, reason: str) -> None:
        """Amazon refused the package: a person corrects the track in Commerce, or confirms it on Amazon."""
        message = f"Amazon refused the package: {reason} Correct the track in Commerce, or confirm it on Amazon."
        self._after_call(package, state="rejected", last_error_code=code, last_error=message[:_LONGEST_ERROR])

    def put_back(self, order_id: str, reference_ids: Sequence[str]) -> None:
        """Amazon failed for this order although it answers for others: its packages wait, longer each time."""
        with self._engine.begin() as connection:
            for reference_id in reference_ids:
                failures = self._read(connection, order_id, reference_id).failures + 1
                later = self._clock() + growing(self._settings.shipment_verify_gap, failures)
                self._update(connection, order_id, reference_id, failures=failures, next_attempt_at=later)

    def sent_packages(self, connection: Connection, order: DueOrder) -> list[SentPackage]:
        """Those of the order's packages that are still to be read back."""
        rows = [self._read(connection, order.amazon_order_id, reference) for reference in order.package_reference_ids]
        return [
            SentPackage(
                reference_id=row.package_reference_id,
                tracking_number=row.tracking_number,
                is_in_doubt=row.state == "in_doubt",
                sends=row.attempts,
                reads=row.verify_count + 1,
                error_code=row.last_error_code,
                units=read_units(row),
            )
            for row in rows
            if row.state in ("sent", "in_doubt")
        ]

    def mark_seen(self, order_id: str, package: SentPackage, seen: Seen) -> None:
        """Keep what Amazon shows of a package."""
        values: dict[str, Any] = {"verify_count": package.reads, "failures": 0, "next_attempt_at": None}
        if seen.outcome == "waiting":
            wait = growing(self._settings.shipment_verify_gap, package.reads + 1)
            values["next_attempt_at"] = self._clock() + wait
        else:
            state = "planned" if seen.outcome == "sent_again" else seen.outcome
            values |= {"state": state, "last_error_code": seen.code, "last_error": seen.message}
            if seen.units is not None:
                values["items"] = _items(seen.units)
            values["accepted_at"] = self._clock() if seen.outcome == "accepted" else None
        is_open = shipment_outbox.c.state.in_(["sent", "in_doubt"])
        with self._engine.begin() as connection:
            self._update(connection, order_id, package.reference_id, is_open, **values)

    def _after_call(self, package: DuePackage, **values: Any) -> None:
        is_in_doubt = shipment_outbox.c.state == "in_doubt"
        with self._engine.begin() as connection:
            self._update(connection, package.amazon_order_id, package.package_reference_id, is_in_doubt, **values)

    def _read(self, connection: Connection, order_id: str, reference_id: str) -> Row[Any]:
        return connection.execute(select(shipment_outbox).where(*_key(order_id, reference_id))).one()

    def _update(
        self, connection: Connection, order_id: str, reference_id: str, *conditions: ColumnElement[bool], **values: Any
    ) -> bool:
        statement = update(shipment_outbox).where(*_key(order_id, reference_id), *conditions)
        return connection.execute(statement.values(values | self._stamp())).rowcount == 1

    def _stamp(self) -> dict[str, Any]:
        return {"dag_run_id": self._dag_run_id, "updated_at": self._clock()}


def read_units(row: Row[Any]) -> dict[str, int]:
    """What is in the package: Amazon item id -> units."""
    return {item["amazon_item_id"]: item["qty"] for item in row.items}


def _items(units: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"amazon_item_id": item_id, "qty": count} for item_id, count in units.items()]


def _key(order_id: str, reference_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        shipment_outbox.c.amazon_order_id == order_id,
        shipment_outbox.c.package_reference_id == reference_id,
    )


def _carrier(track: Track) -> Mapping[str, str | None]:
    return {
        "carrier_code": track.carrier_code,
        "carrier_name": track.carrier_name,
        "tracking_number": track.tracking_number,
    }
