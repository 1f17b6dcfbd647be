"""Judges every order that Commerce does not have yet: waits, is left out, is blocked, or is promised to the outbox.

The catalog is asked once per store, stock is allocated oldest purchase first, and Great Expectations finds the blocker
products. Blocked orders are judged again by every run, so that a solved blocker frees its order without anybody's help.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.adapters.commerce.catalog import Candidate, CatalogFacts, Commerce, Promise, ask_shops
from include.database.locks import autocommit, try_lock
from include.database.orders import load_orders
from include.database.statements import load_statements
from include.domain.blockers import BLOCKER_CODES
from include.domain.errors import MisconfiguredError, OrdersError
from include.domain.orders import OrderLine, decide
from include.domain.stores import Store, Stores
from include.expectations.order_lines import CheckedLine, ValidationReport, validate_lines
from include.outbox.pipeline_state import move_orders

log = logging.getLogger(__name__)

# How a decision that is not `create` closes the blockers that an order had.
_CLOSED_BY = {"canceled": "canceled", "not_imported": "settings_changed", "waiting": "solved"}


@dataclass
class _Judged:
    """What this run found out; written in one transaction at the end."""

    read: dict[str, str] = field(default_factory=dict)  # order id -> payload_sha256 of the version that was judged
    refused: set[str] = field(default_factory=set)  # refused before, unchanged, and due again
    moves: dict[str, tuple[str, str]] = field(default_factory=dict)  # order id -> (state, reason)
    closed_by: dict[str, str] = field(default_factory=dict)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    products: list[dict[str, Any]] = field(default_factory=list)


def run(
    engine: Engine,
    commerce: Commerce,
    stores: Stores,
    *,
    now: datetime,
    dag_run_id: str,
) -> list[str]:
    """Judge the open orders and return the accounts that have orders to create, look up or finish.

    `commerce` gives the client of a Commerce connection. A shop that does not answer holds its own orders only, which
    say so; the step fails with its error when nothing else is left to do, so that doubts are always looked up. Beside
    a second copy, one works and the other returns the same accounts.
    """
    statements = load_statements(__file__)
    failure: OrdersError | None = None
    with autocommit(engine) as session, try_lock(session, "validate_orders") as got:
        if got:
            failure = _judge_all(engine, commerce, stores, now, dag_run_id)
        else:
            log.info("validate_orders: another run is validating")
    with engine.connect() as connection:
        with_work = set(connection.execute(statements["accounts_with_work"], {"now": now}).scalars())
    accounts = [account.name for account in stores.accounts if account.name in with_work]
    if failure is not None and not accounts:
        raise failure
    return accounts


def _judge_all(
    engine: Engine,
    commerce: Commerce,
    stores: Stores,
    now: datetime,
    dag_run_id: str,
) -> OrdersError | None:
    """Judge and write. Returns the failure of a store that could not be asked about, if there was one."""
    statements = load_statements(__file__)
    with engine.begin() as connection:
        done = connection.execute(statements["complete_orders"], {"dag_run_id": dag_run_id}).scalars().all()
        moves = [(order_id, "completed", "Shipped on Amazon; the Commerce order is linked.") for order_id in done]
        move_orders(connection, moves, now=now, dag_run_id=dag_run_id)
        rows = connection.execute(statements["candidates"], {"now": now}).all()
        orders = load_orders(connection, [row.amazon_order_id for row in rows])
        promised = connection.execute(statements["promised"]).all()
    by_name = {store.name: store for store in stores.all()}
    judged = _Judged()
    candidates: list[Candidate] = []
    for row in rows:
        order, store = orders[row.amazon_order_id], by_name.get(row.store_name)
        decision = decide(order, store, row.import_since)
        if decision.state == "create" and store is not None:
            candidates.append(Candidate(order, store, decision))
        else:
            judged.moves[order.amazon_order_id] = (decision.state, decision.reason)
            judged.closed_by[order.amazon_order_id] = _CLOSED_BY[decision.state]
    judged.refused = {row.amazon_order_id for row in rows if row.pipeline_state == "rejected"}
    judged.read = {row.amazon_order_id: row.payload_sha256 for row in rows}
    facts = ask_shops(candidates, commerce, [_promise(row, by_name.get(row.store_name)) for row in promised])
    held = {row.amazon_order_id for row in rows if row.pipeline_state in ("blocked", "rejected")}
    _hold(judged, [entry for entry in candidates if entry.order.amazon_order_id not in held], facts.failures)
    lines = [_line(candidate, line, facts) for candidate in facts.checked for line in candidate.order.lines]
    report = validate_lines(lines)
    _fold(facts, lines, report, judged, now, dag_run_id)
    with engine.begin() as connection:
        _write(connection, judged, report, now, dag_run_id)
    counts = Counter(state for state, _ in judged.moves.values())
    log.info(
        "validate_orders: read=%d completed=%d %s",
        len(rows),
        len(done),
        " ".join(f"{state}={count}" for state, count in sorted(counts.items())),
    )
    return next(iter(facts.failures.values()), None)


def _promise(row: Row[Any], store: Store | None) -> Promise:
    """`store` is None when it left stores.yaml: its goods are still to be shipped."""
    sku = row.seller_sku if store is None else store.catalog_sku(row.seller_sku)
    return Promise(row.commerce_connection, row.commerce_store_view, sku, row.qty)


def _hold(judged: _Judged, candidates: Sequence[Candidate], failures: Mapping[str, OrdersError]) -> None:
    """The shop could not be asked: its new orders wait and say why. What was held already stays so, with its reason."""
    for candidate in candidates:
        error = failures.get(candidate.store.name)
        if error is not None:
            cause = str(error) if isinstance(error, MisconfiguredError) else "the next run asks again."
            reason = f"Commerce could not be asked about the products: {cause}"
            judged.moves[candidate.order.amazon_order_id] = ("new", reason[:500])


def _line(candidate: Candidate, line: OrderLine, facts: CatalogFacts) -> CheckedLine:
    product = facts.product(candidate.store, line.seller_sku)
    return CheckedLine(
        amazon_order_id=candidate.order.amazon_order_id,
        amazon_item_id=line.amazon_item_id,
        seller_sku=line.seller_sku,
        catalog_sku=candidate.store.catalog_sku(line.seller_sku),
        is_in_catalog=product is not None,
        is_enabled=product is not None and product.is_enabled,
        requested_qty=line.ordered_qty,
        available_qty=facts.available[candidate.order.amazon_order_id, line.amazon_item_id],
        is_stock_required=candidate.decision.is_stock_required,
        currency_code=candidate.order.currency_code,
        store_currency=facts.views[candidate.store.name].base_currency,
        is_orderable_type=product is None or product.is_orderable,
    )


def _fold(
    facts: CatalogFacts,
    lines: Sequence[CheckedLine],
    report: ValidationReport,
    judged: _Judged,
    now: datetime,
    dag_run_id: str,
) -> None:
    """Turn the findings into episodes, states and plans."""
    amounts = {
        (candidate.order.amazon_order_id, line.amazon_item_id): line.item_amount
        for candidate in facts.checked
        for line in candidate.order.lines
    }
    by_line = {(line.amazon_order_id, line.amazon_item_id): line for line in lines}
    held: dict[str, list[str]] = defaultdict(list)
    for finding in report.findings:
        key = (finding.amazon_order_id, finding.amazon_item_id)
        episode = _episode(by_line[key], finding.blocker_code, amounts[key])
        judged.episodes.append(episode | {"now": now, "dag_run_id": dag_run_id})
        if episode["severity"] == "critical":
            held[finding.amazon_order_id].append(episode["message"])
    for candidate in facts.checked:
        order_id, store = candidate.order.amazon_order_id, candidate.store
        judged.closed_by[order_id] = "solved"
        if order_id in held:
            judged.moves[order_id] = ("blocked", " ".join(held[order_id])[:500])
            continue
        is_amazon_number = store.orders.order_number_source == "amazon"
        judged.moves[order_id] = ("ready", "Will be created in Commerce.")
        judged.plans.append(
            {
                "amazon_order_id": order_id,
                "account_name": candidate.order.account_name,
                "store_name": store.name,
                "commerce_connection": store.commerce_connection,
                "commerce_store_view": store.commerce_store_view,
                "increment_id": store.orders.order_number_prefix + order_id if is_amazon_number else None,
                "is_changed": order_id not in judged.refused,
                "now": now,
                "dag_run_id": dag_run_id,
            }
        )
    judged.products = [row | {"checked_at": now, "dag_run_id": dag_run_id} for row in _product_rows(facts)]


def _episode(line: CheckedLine, blocker_code: str, amount: Decimal | None) -> dict[str, Any]:
    code = BLOCKER_CODES[blocker_code]
    message = code.sentence.format(
        seller_sku=line.seller_sku or "(none)",
        catalog_sku=line.catalog_sku or "(none)",
        requested_qty=line.requested_qty,
        available_qty=f"{(line.available_qty or Decimal(0)).normalize():f}",
        currency_code=line.currency_code,
        store_currency=line.store_currency,
    )
    return {
        "amazon_order_id": line.amazon_order_id,
        "amazon_item_id": line.amazon_item_id,
        "blocker_code": code.code,
        "severity": code.severity,
        "seller_sku": line.seller_sku,
        "catalog_sku": line.catalog_sku,
        "message": message,
        "remedy": code.remedy,
        "requested_qty": line.requested_qty,
        "available_qty": line.available_qty,
        "affected_amount": amount,
        "currency_code": line.currency_code,
    }


def _product_rows(facts: CatalogFacts) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for candidate in facts.checked:
        store = candidate.store
        for line in candidate.order.lines:
            product = facts.product(store, line.seller_sku)
            key = (store.commerce_connection, store.commerce_store_view, store.catalog_sku(line.seller_sku))
            rows[key] = {
                "commerce_connection": key[0],
                "commerce_store_view": key[1],
                "catalog_sku": key[2],
                "commerce_product_id": str(product.product_id) if product else None,
                "commerce_sku": product.sku if product else None,
                "product_name": product.name if product else None,
                "type_id": product.type_id if product else None,
                "is_enabled": product is not None and product.is_enabled,
                "salable_qty": facts.free.get((facts.stock_key(store), product.sku.casefold())) if product else None,
            }
    return list(rows.values())


def _write(connection: Connection, judged: _Judged, report: ValidationReport, now: datetime, dag_run_id: str) -> None:
    """One transaction. Orders that changed on Amazon or that a creator took up meanwhile are left to the next run."""
    statements = load_statements(__file__)
    keys = {"now": now, "dag_run_id": dag_run_id}
    order_ids = {"order_ids": sorted(judged.moves)}
    taken = set(connection.execute(statements["sent_meanwhile"], order_ids).scalars())
    for row in connection.execute(statements["versions_now"], order_ids):
        if row.payload_sha256 != judged.read[row.amazon_order_id]:
            taken.add(row.amazon_order_id)
    for name, rows in (
        ("upsert_product", judged.products),
        ("open_episode", [row for row in judged.episodes if row["amazon_order_id"] not in taken]),
        ("plan_order", sorted((p for p in judged.plans if p["amazon_order_id"] not in taken), key=_order_id)),
    ):
        if rows:
            connection.execute(statements[name], rows)
    closed = {order_id: code for order_id, code in judged.closed_by.items() if order_id not in taken}
    connection.execute(
        statements["close_episodes"],
        keys | {"order_ids": list(closed), "closed_by_codes": list(closed.values())},
    )
    planned = {plan["amazon_order_id"] for plan in judged.plans}
    connection.execute(statements["withdraw_orders"], keys | {"order_ids": sorted(set(judged.moves) - planned - taken)})
    moves = [(order_id, *move) for order_id, move in judged.moves.items() if order_id not in taken]
    move_orders(connection, moves, now=now, dag_run_id=dag_run_id)
    for result in report.results:
        connection.execute(
            statements["insert_result"],
            keys
            | {
                "suite_sha256": report.suite_sha256,
                "rule_code": result.rule_code,
                "expectation_type": result.expectation_type,
                "severity": result.severity,
                "is_success": result.is_success,
                "is_errored": result.is_errored,
                "evaluated_count": result.evaluated_count,
                "unexpected_count": result.unexpected_count,
                "duration_ms": report.duration_ms,
            },
        )


def _order_id(plan: Mapping[str, Any]) -> str:
    return str(plan["amazon_order_id"])
