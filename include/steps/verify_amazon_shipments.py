"""Reads back from Amazon which packages it has: an accepted call alone proves nothing, and doubts end here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.order_state import ORDER_STATE_DATA, order_states
from include.adapters.amazon.requests import search_query
from include.domain.amazon_packages import AmazonOrderState
from include.domain.errors import MisconfiguredError, OrdersError, RefusedError, UnavailableError
from include.domain.packages import classify, is_settled
from include.outbox.shipment_outbox import DueOrder, ShipmentOutbox, orders_to_read_back
from include.outbox.work_loop import FailureStreak, Outcome, summary, work_through
from include.settings import Settings

log = logging.getLogger(__name__)

# What was sent longer ago is read order by order: the listing of so long a time has too much else in it.
_LISTED_TIME = timedelta(hours=3)
# Calls of searchOrders that the listing leaves to the extraction of orders, which needs them every few minutes.
_KEPT_CALLS = 8


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

    Many orders are looked for in one listing first; what it does not settle is read order by order. A package that
    Amazon shows becomes `accepted`. One that it does not show is read again at growing distances, then
    sent again under the same reference. An order for which Amazon fails waits, and the others go on. Raises as
    push_amazon_shipments does.
    """
    outbox = ShipmentOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    streak = FailureStreak()
    packages: Counter[str] = Counter(accepted=0, waiting=0, sent_again=0, rejected=0)

    def attempt(session: Connection, due: DueOrder) -> Outcome:
        packages_due = outbox.sent_packages(session, due)
        order = listed.get(due.amazon_order_id)
        try:
            if order is None or not is_settled(packages_due, order):
                order = client.get_order(due.amazon_order_id)
        except RefusedError as error:
            log.warning("verify_amazon_shipments: order=%s cannot be read (%s)", due.amazon_order_id, error.code)
            order = AmazonOrderState(due.amazon_order_id)
        except (UnavailableError, MisconfiguredError) as error:
            return Outcome("failed", error)
        streak.end()
        for package in packages_due:
            seen = classify(package, order, settings.shipment_verify_attempts)
            outbox.mark_seen(due.amazon_order_id, package, seen)
            packages[seen.outcome] += 1
        return Outcome("orders")

    now = clock()
    with engine.connect() as connection:
        rows = orders_to_read_back(connection, account_name, now, now - settings.shipment_verify_gap)
    listed = _listed(client, rows, settings, now)
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


def _listed(
    client: AmazonClient, rows: Sequence[DueOrder], settings: Settings, now: datetime
) -> dict[str, AmazonOrderState]:
    """What one listing of the last hours shows of these orders, if it is cheaper than to ask for each of them.

    It takes at most a page for each `shipment_listing_orders` of them, and whatever it does not show is read order by
    order afterwards: so it may end at any time, and no failure of it counts.
    """
    recent = {row.amazon_order_id: row for row in rows if row.sent_at > now - _LISTED_TIME}
    found: dict[str, AmazonOrderState] = {}
    if not settings.shipment_listing_orders or len(recent) < settings.shipment_listing_orders:
        return found
    pages = 0
    try:
        since = min(row.sent_at for row in recent.values()) - settings.window_safety_margin
        until = client.server_time() - settings.window_safety_margin
        marketplaces = sorted({row.marketplace_id for row in recent.values()})
        query = search_query(marketplaces, min(since, until), until, ORDER_STATE_DATA, settings.orders_per_page)
        token: str | None = None
        while len(found) < len(recent) and pages < len(recent) // settings.shipment_listing_orders:
            page = client.search_orders(query, token, keep=_KEPT_CALLS)
            states, token = order_states(page.orders), page.next_token
            found |= {state.amazon_order_id: state for state in states if state.amazon_order_id in recent}
            pages += 1
            if token is None:
                break
    except OrdersError as error:
        log.warning("verify_amazon_shipments: the listing ended (%s); the rest is read order by order", error)
    log.info("verify_amazon_shipments: %d pages of the listing show %d of %d orders", pages, len(found), len(recent))
    return found
