"""Reads back from Amazon which packages it has: an accepted call alone proves nothing, and doubts end here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from include.adapters.amazon.client import AmazonClient
from include.domain.amazon_packages import AmazonOrderState
from include.domain.errors import MisconfiguredError, RefusedError, UnavailableError
from include.domain.packages import classify
from include.outbox.shipment_outbox import DueOrder, ShipmentOutbox, orders_to_read_back
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
    """Read back each order with packages sent at least `shipment_verify_gap` ago. Returns counts by outcome.

    A package that Amazon shows becomes `accepted`. One that it does not show is read again at growing distances, then
    sent again under the same reference. An order for which Amazon fails waits, and the others go on. Raises as
    push_amazon_shipments does.
    """
    outbox = ShipmentOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    streak = FailureStreak()
    packages: Counter[str] = Counter(accepted=0, waiting=0, sent_again=0, rejected=0)

    def attempt(session: Connection, due: DueOrder) -> Outcome:
        try:
            order = client.get_order(due.amazon_order_id)
        except RefusedError as error:
            log.warning("verify_amazon_shipments: order=%s cannot be read (%s)", due.amazon_order_id, error.code)
            order = AmazonOrderState(due.amazon_order_id)
        except (UnavailableError, MisconfiguredError) as error:
            return Outcome("failed", error)
        streak.end()
        for package in outbox.sent_packages(session, due):
            seen = classify(package, order, settings.shipment_verify_attempts)
            outbox.mark_seen(due.amazon_order_id, package, seen)
            packages[seen.outcome] += 1
        return Outcome("orders")

    now = clock()
    with engine.connect() as connection:
        rows = orders_to_read_back(connection, account_name, now, now - settings.shipment_verify_gap)
    report = work_through(
        engine,
        rows,
        attempt,
        is_answering=lambda _: streak.is_one_more_tolerable(),
        put_back=lambda due, _: outbox.put_back(due.amazon_order_id, due.package_reference_ids),
        clock=clock,
        time_budget=settings.create_time_budget,
    )
    counts = dict(packages | report.counts)
    log.info("verify_amazon_shipments: account=%s %s", account_name, summary(counts))
    report.raise_if_incomplete(f"verify_amazon_shipments of account {account_name}")
    return counts
