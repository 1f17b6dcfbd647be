"""Checks every order that Commerce does not have yet: it waits, is left out, is blocked, or is planned in the outbox.

The shops are asked once per run. The rules that need no stock are checked first, stock is allocated among the orders
that pass, oldest purchase first, and then the stock rules are checked. Blocked orders are checked again by every run,
so that a solved blocker releases its order without anybody's help.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.commerce.catalog import AllocatedUnits, Commerce, PendingTurn, ask_shops
from include.database.exchange_rates import find_rates
from include.database.isolation import describe, isolate
from include.database.locks import autocommit, try_lock
from include.database.orders import load_orders
from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES
from include.domain.errors import MisconfiguredError, OrdersError
from include.domain.orders import Candidate, Order, decide, pack_of
from include.domain.stores import Pack, Store, Stores
from include.expectations.rules import CheckedLine, suite_sha256
from include.outbox.backfill_marks import settle_marks
from include.outbox.blocker_episodes import Blocker, close_episodes, open_episodes
from include.outbox.dry_run import DryRunResult, rehearse
from include.outbox.order_change_outbox import accounts_with_changes, plan_changes
from include.outbox.order_checks import LineCheck, keep_checks, known_checks
from include.outbox.order_outbox import (
    PlannedOrder,
    accounts_with_work,
    plan_orders,
    probe_refusals,
    sent_orders,
    withdraw_orders,
)
from include.outbox.pipeline_state import move_orders
from include.outbox.work_loop import summary
from include.outbox.write_holds import accounts_with_stops
from include.settings import Settings

log = logging.getLogger(__name__)

# How the open blockers of an order end that is not to be created.
_CLOSED_BY = {"canceled": "canceled", "not_imported": "settings_changed", "waiting": "solved"}
# Found on each line, and shown once.
_OF_THE_WHOLE_ORDER = ("bad_address", "total_mismatch")
_DRY_RUN_ACTIONS = {
    "ready": "create",
    "blocked": "block",
    "waiting": "wait",
    "new": "wait",
    "not_imported": "leave_out",
    "canceled": "leave_out",
}


@dataclass(frozen=True)
class Verdict:
    """What is to happen with one order now, and why."""

    order_id: str
    state: str  # the pipeline state to move to
    reason: str
    closes_blockers: str | None = None  # how blockers that were not found again end; None: none was checked
    blockers: tuple[Blocker, ...] = ()
    plan: PlannedOrder | None = None


def run(
    engine: Engine,
    commerce: Commerce,
    stores: Stores,
    settings: Settings,
    *,
    now: datetime,
    dag_run_id: str,
    is_dry_run: bool = False,
) -> list[str]:
    """Check the open orders and return the accounts that have orders to create, look up or finish.

    `commerce` gives the client of a Commerce connection. A shop that does not answer blocks its own orders only. Its
    accounts are returned as well, so that the creation, which does what can be done, fails with the cause; without any
    such work this step fails with it. Beside a second copy, one works and the other returns the same accounts. With
    `is_dry_run`, what would be done is written to ops.dry_run_results, and nothing else.
    """
    validation = _Validation(engine, stores, settings.exchange_rate_age, now, dag_run_id)
    if is_dry_run:
        found = validation.evaluate(commerce)
        return rehearse(engine, [_result(found, verdict) for verdict in found.verdicts], now=now, dag_run_id=dag_run_id)
    failures: dict[str, OrdersError] = {}
    with autocommit(engine) as session, try_lock(session, "validate_orders") as got:
        if got:
            with engine.begin() as connection:
                settle_marks(connection, now=now, dag_run_id=dag_run_id)
                probe_refusals(connection, now=now, gap=settings.refused_probe_gap, dag_run_id=dag_run_id)
            failures = validation.write(validation.evaluate(commerce))
        else:
            log.info("validate_orders: another run is validating")
    with engine.begin() as connection:
        plan_changes(connection, now=now, dag_run_id=dag_run_id)
        accounts = {*accounts_with_work(connection, now), *accounts_with_changes(connection, now)}
        if failures and not accounts:
            raise next(iter(failures.values()))
        accounts |= set(accounts_with_stops(connection))
        values = {"dag_run_id": dag_run_id}
        accounts |= set(connection.execute(load_statements(__file__)["accounts_with_problems"], values).scalars())
    return sorted(accounts)


@dataclass(frozen=True)
class _Evaluation:
    """What the check of all open orders has found; nothing of it is written yet."""

    rows: Mapping[str, Row[Any]]  # by Amazon order id, as the two below
    orders: Mapping[str, Order]
    verdicts: Sequence[Verdict]
    check: LineCheck


@dataclass(frozen=True)
class _Validation:
    """One validation of all open orders."""

    engine: Engine
    stores: Stores
    rate_age: timedelta
    now: datetime
    dag_run_id: str

    def evaluate(self, commerce: Commerce) -> _Evaluation:
        """Check all open orders; nothing is written."""
        statements = load_statements(__file__)
        by_name = {store.name: store for store in self.stores.all()}
        with self.engine.begin() as connection:
            rows = connection.execute(statements["candidates"], {"now": self.now}).all()
            orders = load_orders(connection, [row.amazon_order_id for row in rows])
            taken = _taken(connection, by_name, self.now) if rows else []
            known = known_checks(connection, list(orders))
        verdicts: list[Verdict] = []
        candidates: list[Candidate] = []
        for row in rows:
            order, store = orders[row.amazon_order_id], by_name.get(row.store_name)
            try:
                decision = decide(order, store, row.import_since, is_only_looked_at=row.is_only_looked_at)
            except Exception as error:
                verdicts.append(_unexpected(row.amazon_order_id, error))
                continue
            if decision.state == "create" and store is not None:
                candidates.append(Candidate(order, store.fulfilled_by(order.fulfilled_by), decision))
            else:
                closes = _CLOSED_BY[decision.state]
                verdicts.append(Verdict(order.amazon_order_id, decision.state, decision.reason, closes))
        facts = ask_shops(candidates, commerce, taken)
        blocked = {row.amazon_order_id for row in rows if row.pipeline_state in ("blocked", "rejected")}
        verdicts += _unchecked(candidates, facts.failures, blocked)
        to_convert = {
            candidate.order.amazon_order_id: (candidate.order, facts.views[candidate.store].base_currency)
            for candidate in facts.checked
            if candidate.store.orders.is_currency_converted
        }
        with self.engine.connect() as connection:
            rates = find_rates(connection, to_convert, oldest=self.rate_age)
        check = LineCheck(facts, known, rates)
        verdicts += [_verdict(candidate, check, self.rate_age) for candidate in facts.checked]
        return _Evaluation({row.amazon_order_id: row for row in rows}, orders, verdicts, check)

    def write(self, found: _Evaluation) -> dict[str, OrdersError]:
        """Write what was found. Returns the failures of stores whose shop could not be asked, by store name."""
        with self.engine.begin() as connection:
            self._write_facts(connection, found.check)

        def write(part: Sequence[Verdict]) -> None:
            with self.engine.begin() as connection:
                self._write(connection, part, found.rows, found.check)

        for verdict, failure in isolate(found.verdicts, write):
            log.error("validate_orders: order=%s: its result cannot be stored: %s", verdict.order_id, describe(failure))
            write([_needs_attention(verdict.order_id, f"its result cannot be stored: {describe(failure)}")])
        counts = Counter(verdict.state for verdict in found.verdicts)
        log.info("validate_orders: read=%d %s", len(found.rows), summary(dict(sorted(counts.items()))))
        return found.check.facts.failures_by_name()

    def _write_facts(self, connection: Connection, check: LineCheck) -> None:
        """What is known of products and shops, and how the rules fared."""
        statements = load_statements(__file__)
        stamp: dict[str, Any] = {"now": self.now, "dag_run_id": self.dag_run_id}
        asked = {"checked_at": self.now, "dag_run_id": self.dag_run_id}
        if products := [row | asked for row in check.facts.product_rows()]:
            connection.execute(statements["upsert_product"], products)
            connection.execute(statements["upsert_store_view"], [row | asked for row in check.facts.view_rows()])
        failures = check.facts.failures_by_name()
        problems = {"store_names": list(failures), "problems": [str(error)[:500] for error in failures.values()]}
        connection.execute(statements["note_store_problems"], problems | {"dag_run_id": self.dag_run_id})
        for result in check.results:
            connection.execute(
                statements["insert_result"],
                stamp | vars(result) | {"suite_sha256": suite_sha256(), "duration_ms": check.duration_ms},
            )

    def _write(
        self, connection: Connection, verdicts: Sequence[Verdict], rows: Mapping[str, Row[Any]], check: LineCheck
    ) -> None:
        """One transaction. Orders that Amazon changed or a creation took up meanwhile are left to the next run."""
        statements = load_statements(__file__)
        stamp: dict[str, Any] = {"now": self.now, "dag_run_id": self.dag_run_id}
        order_ids = {"order_ids": sorted(verdict.order_id for verdict in verdicts)}
        taken = sent_orders(connection, order_ids["order_ids"])
        for now in connection.execute(statements["versions_now"], order_ids):
            if now.payload_sha256 != rows[now.amazon_order_id].payload_sha256:
                taken.add(now.amazon_order_id)
        kept = sorted((v for v in verdicts if v.order_id not in taken), key=lambda verdict: verdict.order_id)
        planned = [verdict.plan for verdict in kept if verdict.plan is not None]
        open_episodes(connection, [blocker for verdict in kept for blocker in verdict.blockers], **stamp)
        refused_before = {order_id for order_id, row in rows.items() if row.pipeline_state == "rejected"}
        plan_orders(connection, planned, refused_before=refused_before, **stamp)
        closed = {verdict.order_id: verdict.closes_blockers for verdict in kept if verdict.closes_blockers is not None}
        close_episodes(connection, closed, **stamp)
        withdraw_orders(connection, [verdict.order_id for verdict in kept if verdict.plan is None], **stamp)
        blocked = {verdict.order_id for verdict in kept if verdict.state == "blocked"}
        keep_checks(
            connection,
            {key: value for key, value in check.known.items() if key[0] in blocked},
            forget=[verdict.order_id for verdict in kept if verdict.order_id not in blocked],
            **stamp,
        )
        move_orders(connection, [(verdict.order_id, verdict.state, verdict.reason) for verdict in kept], **stamp)


def _verdict(candidate: Candidate, check: LineCheck, rate_age: timedelta) -> Verdict:
    order, store = candidate.order, candidate.store
    order_id = order.amazon_order_id
    if order_id in check.failed:
        return _unexpected(order_id, check.failed[order_id])
    found = (_blocker(check.lines[order_id, item_id], code) for item_id, code in check.findings[order_id])
    blockers = tuple(_with_remedy(blocker, candidate, rate_age) for blocker in dict.fromkeys(found))
    critical = dict.fromkeys(blocker.message for blocker in blockers if blocker.is_critical)
    if critical:
        return Verdict(order_id, "blocked", " ".join(critical), "solved", blockers)
    prefix = store.orders.order_number_prefix
    plan = PlannedOrder(
        amazon_order_id=order_id,
        account_name=order.account_name,
        store_name=store.name,
        commerce_connection=store.commerce_connection,
        commerce_store_view=store.commerce_store_view,
        increment_id=prefix + order_id if store.orders.order_number_source == "amazon" else None,
    )
    return Verdict(order_id, "ready", "Will be created in Commerce.", "solved", blockers, plan)


def _with_remedy(blocker: Blocker, candidate: Candidate, rate_age: timedelta) -> Blocker:
    if blocker.blocker_code != "currency_mismatch" or not candidate.store.orders.is_currency_converted:
        return blocker
    day = candidate.order.purchased_at.astimezone(UTC).date()
    remedy = (
        f"Load the exchange rate from {candidate.order.currency_code} to the store view's currency for {day}, or for "
        f"one of the {rate_age.days} days before, with the DAG load_exchange_rates."
    )
    return replace(blocker, remedy=remedy)


def _result(found: _Evaluation, verdict: Verdict) -> DryRunResult:
    order, row = found.orders[verdict.order_id], found.rows[verdict.order_id]
    return DryRunResult(
        amazon_order_id=verdict.order_id,
        action=_DRY_RUN_ACTIONS[verdict.state],
        account_name=order.account_name,
        store_name=row.store_name,
        reason=verdict.reason,
        blocker_codes=sorted({blocker.blocker_code for blocker in verdict.blockers}),
        amount=order.grand_total_amount,
        currency_code=order.currency_code,
    )


def _unexpected(order_id: str, error: Exception) -> Verdict:
    """An order that cannot be checked for a cause that we do not know; it delays no other."""
    log.error("validate_orders: order=%s cannot be checked.", order_id, exc_info=error)
    return _needs_attention(order_id, f"{type(error).__name__} while it was checked")


def _needs_attention(order_id: str, cause: str) -> Verdict:
    message = f"Not checked: {cause}. Resolution: report this with the run's log; every run checks the order again."
    return Verdict(order_id, "blocked", message[:500], blockers=(Blocker(order_id, "needs_attention", message[:500]),))


def _unchecked(
    candidates: Sequence[Candidate], failures: Mapping[Store, OrdersError], blocked: set[str]
) -> list[Verdict]:
    """Orders whose shop could not be asked. A shop that a person has to set right blocks them, with the cause.

    Otherwise they wait, with the reason; what was blocked before stays so, with its reason.
    """
    verdicts = []
    for candidate in candidates:
        order_id, error = candidate.order.amazon_order_id, failures.get(candidate.store)
        if isinstance(error, MisconfiguredError):
            message = BLOCKER_CODES["store_misconfigured"].sentence.format(reason=error)
            blocker = Blocker(order_id, "store_misconfigured", message[:500])
            verdicts.append(Verdict(order_id, "blocked", blocker.message, blockers=(blocker,)))
        elif error is not None and order_id not in blocked:
            reason = "Commerce could not be asked about the products; the next run asks again."
            verdicts.append(Verdict(order_id, "new", reason))
    return verdicts


def _taken(connection: Connection, stores: Mapping[str, Store], now: datetime) -> list[AllocatedUnits]:
    """The units of created orders, and of pending ones where the store reserves them."""
    statements = load_statements(__file__)
    taken = []
    for row in connection.execute(statements["allocated"], {"now": now}):
        # A store that left stores.yaml has goods to be shipped all the same.
        units = _units(row, stores.get(row.store_name))
        taken.append(AllocatedUnits(row.commerce_connection, row.commerce_store_view, *units))
    reserving = {
        name: each
        for name, each in stores.items()
        if each.orders.are_pending_reserved and each.orders.is_import_enabled
    }
    if reserving:
        for row in connection.execute(statements["pending"], {"store_names": sorted(reserving)}):
            store = reserving[row.store_name]
            units = _units(row, store)
            turn = PendingTurn(row.amazon_order_id, row.amazon_item_id, row.purchased_at)
            taken.append(AllocatedUnits(store.commerce_connection, store.commerce_store_view, *units, turn))
    return taken


def _units(row: Row[Any], store: Store | None) -> tuple[str, Decimal]:
    """The catalog SKU and the units of it."""
    mapped = Pack(row.commerce_sku, row.quantity) if row.commerce_sku is not None else None
    pack = pack_of(store, row.seller_sku, row.corrected_sku, mapped)
    qty = row.qty * pack.units if row.is_unsent else row.qty
    return pack.sku, qty


def _blocker(line: CheckedLine, blocker_code: str) -> Blocker:
    message = BLOCKER_CODES[blocker_code].sentence.format(
        seller_sku=line.seller_sku or "(none)",
        catalog_sku=line.catalog_sku or "(none)",
        requested_qty=line.requested_qty,
        available_qty=f"{(line.available_qty or Decimal(0)).normalize():f}",
        currency_code=line.currency_code,
        store_currency=line.store_currency,
        address_problem=line.address_problem,
        total_mismatch=line.total_mismatch,
    )
    if blocker_code in _OF_THE_WHOLE_ORDER:
        return Blocker(line.amazon_order_id, blocker_code, message)
    return Blocker(
        amazon_order_id=line.amazon_order_id,
        blocker_code=blocker_code,
        message=message,
        amazon_item_id=line.amazon_item_id,
        seller_sku=line.seller_sku,
        catalog_sku=line.catalog_sku,
        requested_qty=line.requested_qty,
        available_qty=line.available_qty,
    )
