"""Two stores of one account for tests of the circuit breaker: one that trips it, and a sound one beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text

from include.domain.errors import MisconfiguredError
from include.steps import approve_held_writes, describe_held_writes
from tests.support.orders import order_id
from tests.support.road import Road

ACCOUNT, GERMANY, BRITAIN = "acme-eu", "Acme Deutschland", "Acme UK"
TOWEL, UNKNOWN = "TOWEL-BATH-SAGE", "NOT-IN-THE-CATALOG"
SOUND = order_id(900)
_MARKETS = {GERMANY: ("A1PA6795UKMFR9", "EUR"), BRITAIN: ("A1F83G8C2ARO7P", "GBP")}
_HISTORY = text("""
    insert into core.orders (
        amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, purchased_at,
        amazon_last_updated_at, grand_total_amount, currency_code, item_count, ordered_qty, pipeline_state,
        payload_sha256, status_dag_run_id, dag_run_id, first_seen_at, loaded_at
    )
    select
        '900-' || lpad(cast(day as text), 7, '0') || '-' || lpad(cast(number as text), 7, '0'), stores.account_name,
        stores.marketplace_id, stores.store_name, 'SHIPPED', 'MERCHANT', moment, moment, :amount, 'EUR', 1, 1,
        'completed', 'history', 'history', 'history', moment, moment
    from core.stores as stores
    cross join generate_series(1, :days) as day
    cross join generate_series(1, :per_day) as number
    cross join lateral (select cast(:now as timestamptz) - interval '26 hours' - day * interval '1 day' as moment) as at
    where stores.store_name = :store_name
""")


def prepare(road: Road, *, per_day: int = 2, days: int = 10, amount: str = "20.00", **settings: Any) -> None:
    """The German store has sold `per_day` orders of `amount` for `days` days. Small limits, unless `settings` say."""
    limits = {"breaker_history_orders": 10, "breaker_minimum_orders": 3, "create_connections": 1}
    road.change_settings(**(limits | settings))
    road.with_account(ACCOUNT)
    road.stage_stores()
    values = {"store_name": GERMANY, "now": road.now(), "per_day": per_day, "days": days, "amount": amount}
    with road.engine.begin() as connection:
        connection.execute(_HISTORY, values)


def buy(road: Road, numbers: Iterable[int], store: str = GERMANY, sku: str = TOWEL, price: str = "20.00") -> list[str]:
    """Orders of one unit each, bought now."""
    marketplace_id, currency = _MARKETS[store]
    bought = [order_id(number) for number in numbers]
    for one in bought:
        options = {"marketplace_id": marketplace_id, "currency": currency, "seller_id": "A2EXAMPLESELLER"}
        road.buy(one, {sku: 1}, unit_price=price, **options)
    return bought


def buy_sound(road: Road) -> None:
    """One order of the store beside."""
    buy(road, [900], BRITAIN)


def in_shop(road: Road) -> set[str]:
    """The Amazon orders that Commerce has, each of them once."""
    found = [order["ext_order_id"] for order in road.sandbox.commerce.orders()]
    assert len(found) == len(set(found)), "an order was created twice"
    return set(found)


def failed_with(road: Road, part: str) -> str:
    """A run that is red because a part of its writes is stopped: what it says."""
    (error,) = road.run_as_airflow()
    assert isinstance(error, MisconfiguredError)
    assert part in str(error)
    return str(error)


def holds(road: Road) -> list[Any]:
    """What is stopped, as people see it."""
    return road.rows("select * from reporting.held_writes order by store_name, kind")


def decide(
    road: Road,
    decision: str | None = "approve",
    *,
    kind: str = "orders",
    run_id: str = "",
    answer: dict[str, Any] | None = None,
    is_dry_run: bool = False,
    **params: Any,
) -> dict[str, str]:
    """A run of approve_held_writes by the user olga; an `answer` as Airflow's question gives it."""
    road.run_number += 1
    wanted = {"kind": kind, "store_name": None, "decision": decision, "comment": None, "dry_run": is_dry_run, **params}
    own_id = run_id or road.run_id
    describe_held_writes.run(road.engine, wanted, road.settings, dag_run_id=own_id)
    work = (road.engine, wanted, answer, road.settings)
    return approve_held_writes.run(*work, user_name="olga", now=road.now(), dag_run_id=own_id)
