"""Confirms one account's planned packages to Amazon: one confirmShipment each, under the package's own reference."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.requests import shipment_confirmation
from include.domain.errors import MisconfiguredError, OutcomeUnknownError, RefusedError, UnavailableError
from include.domain.packages import ALREADY_SHIPPED, REFUSED_QUANTITY
from include.outbox.shipment_outbox import DuePackage, ShipmentOutbox, due_packages, read_units
from include.outbox.work_loop import FailureStreak, Outcome, summary, work_through
from include.settings import Settings

log = logging.getLogger(__name__)


def run(
    engine: Engine,
    client: AmazonClient,
    account_name: str,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
) -> dict[str, int]:
    """Send every due package of the account. Returns counts by outcome.

    `clock` gives the time (UTC). The row is in doubt before the call and sent after Amazon's 204; what nobody saw is
    resolved by reading back (verify_amazon_shipments). A refused or failing package never stops another. Raises
    RunIncompleteError, ThrottledError or MisconfiguredError when Amazon keeps failing, throttles, or a person must act.
    """
    outbox = ShipmentOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    streak = FailureStreak()

    def attempt(session: Connection, due: DuePackage) -> Outcome:
        if outbox.awaits_decision(session, due):
            return Outcome("awaiting_decision")
        row = outbox.mark_sending(session, due)
        if row is None:
            return Outcome("passed_over")
        try:
            client.confirm_shipment(due.amazon_order_id, _body(row))
        except RefusedError as error:
            return _refused(outbox, due, error)
        except OutcomeUnknownError as error:
            outbox.doubt(due, "unknown_outcome", str(error))
            return Outcome("in_doubt", error)
        except (UnavailableError, MisconfiguredError) as error:  # nothing was done
            outbox.not_sent(due, error)
            return Outcome("failed", error)
        outbox.mark_sent(due)
        streak.end()
        return Outcome("sent")

    with engine.connect() as connection:
        rows = due_packages(connection, account_name, clock())
    report = work_through(
        engine,
        rows,
        attempt,
        is_answering=lambda _: streak.is_one_more_tolerable(),
        put_back=lambda due, _: outbox.put_back(due.amazon_order_id, [due.package_reference_id]),
        clock=clock,
        time_budget=settings.create_time_budget,
    )
    log.info("push_amazon_shipments: account=%s %s", account_name, summary(report.counts))
    report.raise_if_incomplete(f"push_amazon_shipments of account {account_name}")
    return dict(report.counts)


def _refused(outbox: ShipmentOutbox, due: DuePackage, error: RefusedError) -> Outcome:
    log.warning(
        "push_amazon_shipments: order=%s package=%s refused (%s)",
        due.amazon_order_id,
        due.package_reference_id,
        error.code,
    )
    if ALREADY_SHIPPED in f"{error.code} {error.reason}":
        outbox.doubt(due, ALREADY_SHIPPED, "Amazon reports that the order is shipped already.")
        return Outcome("in_doubt")
    if "quantity" in error.reason.lower() and error.code != "InvalidShipment":
        outbox.doubt(due, REFUSED_QUANTITY, f"Amazon refused the quantities: {error.reason}")
        return Outcome("in_doubt")
    outbox.reject(due, error.code, error.reason or error.code)
    return Outcome("refused")


def _body(row: Row[Any]) -> dict[str, Any]:
    return shipment_confirmation(
        marketplace_id=row.marketplace_id,
        package_reference_id=row.package_reference_id,
        carrier_code=row.carrier_code,
        carrier_name=row.carrier_name,
        shipping_method=row.shipping_method,
        tracking_number=row.tracking_number,
        shipped_at=row.shipped_at,
        units=read_units(row),
    )
