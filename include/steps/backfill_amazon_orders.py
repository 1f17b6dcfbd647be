"""Fetches a stretch of an account's past, or a list of its orders, from Amazon, and lands them like live orders.

It has what live orders and their history leave of Amazon's quota, so a long backfill takes many tries; each goes on
where the one before stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.landing import LandedPage
from include.adapters.personal_data import PersonalDataCipher
from include.database.locks import autocommit, try_lock
from include.database.tables import orders
from include.domain.errors import ForbiddenError, RefusedError, ThrottledError, UnavailableError
from include.domain.stores import Account, Stores
from include.outbox.backfill_marks import mark_orders
from include.outbox.backfills import Backfill, BackfillRequest, time_left
from include.outbox.page_reader import Outcome, PageReader
from include.outbox.request_params import moment_param, refused_param, texts_param
from include.outbox.single_orders import add_single_order
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)

# Request tokens that a backfill leaves to others: more than the history (3) does, which comes first, and to the
# verification of shipments.
_KEEP_SEARCHES = 6
_KEEP_READS = 10
# Orders in a row without an answer: Amazon is down, not they.
_MOST_SILENT = 3


def read_request(params: Mapping[str, Any], stores: Stores, *, now: datetime) -> BackfillRequest:
    """The backfill that the params of a DAG run describe. Raises MisconfiguredError naming the param and why."""
    accounts = {account.name: account for account in stores.accounts}
    name = params.get("account")
    if name not in accounts:
        what = "is missing" if name in (None, "") else f"is {name!r}, which the stores file does not have"
        raise refused_param("account", what, f"use one of {', '.join(accounts)}")
    account = accounts[name]
    created_from, created_to = moment_param(params, "created_from"), moment_param(params, "created_to")
    ids, store_names = texts_param(params, "amazon_order_ids"), texts_param(params, "stores")
    if ids:
        for name in ("created_from", "created_to", "stores"):
            if params.get(name):
                raise refused_param(
                    name, "does not go with amazon_order_ids", "give either orders or a stretch of time"
                )
    elif created_from is None:
        raise refused_param("created_from", "is missing", "say from when on, or give amazon_order_ids")
    elif created_from > now:
        raise refused_param("created_from", "is in the future", "give a moment that has passed")
    elif created_to is not None and created_to < created_from:
        raise refused_param("created_to", "is before created_from", "exchange them")
    marketplaces = {store.name: store.marketplace_id for store in account.stores}
    if unknown := sorted(set(store_names) - set(marketplaces)):
        known = ", ".join(sorted(marketplaces))
        raise refused_param("stores", f"names {', '.join(unknown)}, which {account.name} does not have", f"use {known}")
    chosen = {marketplaces[name] for name in store_names or marketplaces}
    is_wanted = params.get("create_in_commerce", False)
    if not isinstance(is_wanted, bool):
        raise refused_param("create_in_commerce", "is neither true nor false", "give one of them")
    marketplace_ids = () if ids else tuple(sorted(chosen))
    return BackfillRequest(account.name, marketplace_ids, created_from, created_to, tuple(ids), is_wanted)


def run(
    engine: Engine,
    client: AmazonClient,
    cipher: PersonalDataCipher,
    account: Account,
    request: BackfillRequest,
    settings: Settings,
    *,
    is_dry_run: bool,
    dag_run_id: str,
) -> tuple[bool, dict[str, int]]:
    """Go on with the backfill as far as Amazon's quota allows. Returns whether it is over, and what was read this time.

    Beside a second copy, one works and the other returns at once. When Amazon does not answer it is not over; after
    `failed_attempts` times in a row that is raised. Raises the other errors of the client; what landed stays landed.
    With `is_dry_run` it says what it would read.
    """
    if is_dry_run:
        return True, _rehearse(engine, request, settings)
    with autocommit(engine) as session, try_lock(session, "backfill_amazon_orders", request.sha256) as got:
        if not got:
            log.info("backfill_amazon_orders: account=%s: another run reads the same", account.name)
            return False, {}
        backfill = Backfill(engine, account, settings, request, now=client.server_time(), dag_run_id=dag_run_id)
        mark = partial(
            mark_orders,
            backfill_id=backfill.backfill_id,
            account_name=account.name,
            create_in_commerce=request.create_in_commerce,
            dag_run_id=dag_run_id,
        )
        pages = PageReader(engine, client, cipher, account.name, "backfill_amazon_orders", dag_run_id, mark)
        work = _Work(client, backfill, pages, settings)
        try:
            work.read_windows()
            work.read_orders()
        except ThrottledError as error:
            log.info("backfill_amazon_orders: account=%s goes on later: %s", account.name, error)
        except UnavailableError as error:
            if backfill.fail() >= settings.failed_attempts:
                raise
            log.warning("backfill_amazon_orders: account=%s goes on later: %s", account.name, error)
        is_over = backfill.finish_if_done(client.server_time())
        _log_progress(account, backfill, pages.counts)
    return is_over, pages.counts


def _rehearse(engine: Engine, request: BackfillRequest, settings: Settings) -> dict[str, int]:
    """Say what would be read; changes nothing, and asks Amazon nothing."""
    with engine.connect() as connection:
        known = _known_orders(connection, request.amazon_order_ids)
    counts = {"orders": len(set(request.amazon_order_ids)), "known": known}
    if request.created_from is None:
        what = f"{counts['orders']} orders by id, {known} of which are known already"
    else:
        until = f"{request.created_to:%Y-%m-%d %H:%M} UTC" if request.created_to else "now"
        what = (
            f"orders of {', '.join(request.marketplace_ids)} created from {request.created_from:%Y-%m-%d %H:%M} UTC "
            f"until {until}, newest first, in windows of {settings.history_window.days} days at first"
        )
    then = "and created in Commerce" if request.create_in_commerce else "and not created in Commerce"
    log.info("dry run, nothing was changed: account=%s would be read: %s, %s", request.account_name, what, then)
    return counts


class _Work:
    """One try of a backfill."""

    def __init__(self, client: AmazonClient, backfill: Backfill, pages: PageReader, settings: Settings) -> None:
        self.client = client
        self.backfill = backfill
        self.pages = pages
        # The next try follows at once, with a fresh time-out.
        self.ends_at = time.monotonic() + settings.task_timeout.total_seconds() / 3

    def read_windows(self) -> None:
        """Read the stretch of time, newest first, while there are tokens."""
        read: set[tuple[datetime, datetime]] = set()
        while time.monotonic() < self.ends_at:
            window = self.backfill.open_next(self.client.server_time(), read)
            if window is None:
                return
            read.add((window.updated_from, window.updated_to))
            try:
                outcome = self.pages.read(self.backfill, window, keep=_KEEP_SEARCHES)
            except ForbiddenError:
                self.backfill.abandon(window)
                raise
            if outcome is Outcome.NOT_BEGUN:
                self.backfill.forget(window)
            if outcome is not Outcome.LANDED:
                return

    def read_orders(self) -> None:
        """Read the orders that were asked for by id, each once; one that Amazon does not give never stops the others.

        Raises UnavailableError when Amazon is silent about several in a row.
        """
        tried: list[str] = []
        silent = 0
        while time.monotonic() < self.ends_at:
            order_id = self.backfill.next_order(tried)
            if order_id is None:
                return
            tried.append(order_id)
            try:
                page = self.client.read_order(order_id, keep=_KEEP_READS)
            except ThrottledError:
                raise
            except UnavailableError as error:
                self.backfill.fail_order(order_id, str(error), self.client.server_time())
                silent += 1
                if silent >= _MOST_SILENT:
                    raise
                continue
            except (RefusedError, ForbiddenError) as error:
                problem = f"Amazon does not give the order: {error}"
                self.backfill.give_up_order(order_id, problem, self.client.server_time())
                log.warning("backfill_amazon_orders: order=%s cannot be read: %s", order_id, error)
                continue
            silent = 0

            def settle(connection: Connection, landed: LandedPage, done: str = order_id, page: Any = page) -> None:
                self.backfill.settle_order(connection, done, page, landed.quarantined)

            add_single_order(self.pages, page, settle)


def _log_progress(account: Account, backfill: Backfill, counts: Mapping[str, int]) -> None:
    state = backfill.state()
    log.info(
        "backfill_amazon_orders: account=%s %s; in all windows=%d pages=%d orders=%d failed=%d, %s %% read, time left "
        "at this rate: %s",
        account.name,
        summary(dict(counts)),
        state.window_count,
        state.page_count,
        state.order_count,
        state.failed_order_count,
        state.read_percent,
        time_left(state.seconds_left),
    )


def _known_orders(connection: Connection, order_ids: tuple[str, ...]) -> int:
    query = select(func.count()).where(orders.c.amazon_order_id.in_(sorted(set(order_ids))))
    return connection.execute(query).scalar_one()
