"""The circuit breaker: what stops the creation of a store's orders, while the store beside goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.outbox.order_outbox import OrderOutbox
from include.steps import create_commerce_orders, validate_orders
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import Fault
from tests.support.breaker import (
    ACCOUNT,
    GERMANY,
    SOUND,
    UNKNOWN,
    buy,
    buy_sound,
    decide,
    failed_with,
    holds,
    in_shop,
    prepare,
)
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")


def refuse(monkeypatch: pytest.MonkeyPatch, refused: list[str]) -> None:
    """Commerce refuses these Amazon orders."""
    real = CommerceState.create_order

    def create(state: CommerceState, entity: Any, *arguments: Any, **options: Any) -> Any:
        if entity["ext_order_id"] in refused:
            raise CommerceRefusal(400, "The requested Payment Method is not available.")
        return real(state, entity, *arguments, **options)

    monkeypatch.setattr(CommerceState, "create_order", create)


def test_store_is_stopped_and_the_other_goes_on_when_it_has_far_more_orders_than_ever(road: Road) -> None:
    prepare(road, per_day=2)
    waiting = buy(road, range(1, 12))
    buy_sound(road)
    message = failed_with(road, f"orders of {GERMANY}: ")
    assert "11 orders are to be created or were created in 24 hours; the busiest of the last 30 days had 2." in message
    assert f"trigger the DAG approve_held_writes with kind orders and store_name {GERMANY}." in message
    assert in_shop(road) == {SOUND}
    (hold,) = holds(road)
    assert (hold.store_name, hold.kind, hold.reason_code, hold.waiting_count) == (GERMANY, "orders", "volume", 11)
    notes = {road.shown(one).order_notes for one in waiting}
    assert notes == {
        f"Not created yet: the orders of the store are stopped. {hold.reason} Approve or decline with the DAG "
        "approve_held_writes."
    }
    assert road.shown(SOUND).order_notes.startswith("Created in Commerce")


def test_orders_of_one_day_count_together_when_they_come_in_several_runs(road: Road) -> None:
    prepare(road, per_day=2)
    for start in (1, 5):
        buy(road, range(start, start + 4))
        assert road.run_as_airflow() == []
    buy(road, range(9, 12))
    failed_with(road, "11 orders are to be created or were created in 24 hours")
    assert len(in_shop(road)) == 8


@pytest.mark.parametrize("days", [0, 6])
def test_nothing_is_stopped_when_the_store_is_new(road: Road, days: int) -> None:
    prepare(road, per_day=2, days=days)
    buy(road, range(1, 14), price="900.00")
    assert road.run_as_airflow() == []
    assert len(in_shop(road)) == 13


def test_nothing_is_stopped_when_a_sale_has_fewer_orders_than_the_minimum(road: Road) -> None:
    prepare(road, per_day=1, breaker_minimum_orders=20)
    buy(road, range(1, 12))
    assert road.run_as_airflow() == []
    assert len(in_shop(road)) == 11


@pytest.mark.parametrize("price", ["0.50", "150.00"])
def test_store_is_stopped_when_the_typical_total_is_far_off(road: Road, price: str) -> None:
    prepare(road)
    buy(road, range(1, 5), price=price)
    buy_sound(road)
    failed_with(road, f"The typical total of the 4 waiting orders is {price}; usually it is 20.00.")
    assert in_shop(road) == {SOUND}


def test_only_the_odd_order_waits_when_its_total_is_far_off(road: Road) -> None:
    prepare(road)
    (odd, *others) = [*buy(road, [1], price="500.00"), *buy(road, [2, 3])]
    assert road.run_as_airflow() == [], "one order that waits is no failure"
    assert in_shop(road) == set(others)
    (hold,) = holds(road)
    assert (hold.reason_code, hold.is_whole_store, hold.waiting_count) == ("price", False, 1)
    assert "500.00 is an unusual total" in road.shown(odd).order_notes
    (second,) = buy(road, [4], price="0.10")
    buy(road, [5])
    assert road.run_as_airflow() == []
    assert holds(road)[0].waiting_count == 2
    assert decide(road) == {GERMANY: "Approved by olga; the next run goes on with them."}
    assert road.run_as_airflow() == []
    assert in_shop(road) >= {odd, second}


def test_store_is_stopped_when_most_of_its_orders_are_blocked(road: Road) -> None:
    prepare(road)
    sound = buy(road, [1])
    blocked = buy(road, range(2, 6), sku=UNKNOWN)
    buy_sound(road)
    failed_with(road, "4 of the 5 orders of 24 hours are blocked (80 %); in the last 30 days it was 0 %.")
    assert in_shop(road) == {SOUND}
    assert road.shown(blocked[0]).blocker_codes == ["missing_product"]
    decide(road)
    assert road.run_as_airflow() == []
    assert in_shop(road) == {SOUND, *sound}


def test_store_is_stopped_in_the_same_run_when_commerce_refuses_one_order_after_the_other(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(road, breaker_refusals=3)
    orders = []
    for number in range(1, 7):
        orders += buy(road, [number])
        road.pass_time(minutes=1)
    buy_sound(road)
    refuse(monkeypatch, orders)
    message = failed_with(road, "Commerce refused 3 orders in a row. The last one: Commerce refused the order: ")
    assert "Payment Method is not available" in message
    assert road.sandbox.commerce_faults.calls["createOrder"] == 4, "three, and the one of the other store"
    assert in_shop(road) == {SOUND}
    monkeypatch.undo()
    failed_with(road, "3 orders in a row")
    decide(road)
    road.pass_time(hours=1)
    assert road.run_as_airflow() == []
    road.run_as_airflow()
    assert in_shop(road) == {SOUND, *orders}


def test_store_goes_on_by_itself_when_an_order_passes_that_was_refused(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(road, breaker_refusals=3)
    orders = buy(road, range(1, 7))
    with monkeypatch.context() as patched:
        refuse(patched, orders)
        failed_with(road, "3 orders in a row")
    road.pass_time(hours=1)
    assert road.run_as_airflow() == []
    assert holds(road) == []
    road.run_as_airflow()
    assert in_shop(road) == set(orders)


def test_nothing_is_sent_when_a_person_has_declined_after_refusals(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(road, breaker_refusals=3)
    orders = buy(road, range(1, 7))
    with monkeypatch.context() as patched:
        refuse(patched, orders)
        failed_with(road, "3 orders in a row")
    decide(road, "decline")
    road.pass_time(hours=1)
    failed_with(road, "3 orders in a row")
    assert road.sandbox.commerce_faults.calls["createOrder"] == 3
    assert in_shop(road) == set()
    assert [hold.decision for hold in holds(road)] == ["decline"]


def test_no_further_order_is_sent_when_the_run_is_killed_after_the_last_refusal(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(road, breaker_refusals=3)
    orders = buy(road, range(1, 6))
    refuse(monkeypatch, orders)
    real, rejected = OrderOutbox.reject, []

    def die(outbox: OrderOutbox, row: Any, error: Any) -> None:
        real(outbox, row, error)
        rejected.append(row.amazon_order_id)
        if len(rejected) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(OrderOutbox, "reject", die)
        road.run_as_airflow()
    assert holds(road) == []
    failed_with(road, "Commerce refused 3 orders in a row.")
    assert road.sandbox.commerce_faults.calls["createOrder"] == 3
    failed_with(road, "Commerce refused 3 orders in a row.")
    never_sent = road.rows("select amazon_order_id from ops.order_outbox where attempts = 0")
    assert [row.amazon_order_id for row in never_sent] == orders[3:]


def test_nothing_is_stopped_when_orders_pass_between_the_refused_ones(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(road, breaker_refusals=3)
    orders = []
    for number in range(1, 8):
        orders += buy(road, [number])
        road.pass_time(minutes=1)
    refuse(monkeypatch, [orders[0], orders[1], orders[3], orders[4], orders[6]])
    assert road.run_as_airflow() == []
    assert in_shop(road) == {orders[2], orders[5]}


def test_store_is_stopped_when_totals_in_commerce_differ_from_amazons(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(road, breaker_totals=2)
    real = CommerceState.create_order

    def create(state: CommerceState, entity: Any, *arguments: Any, **options: Any) -> Any:
        if entity["order_currency_code"] == "EUR":
            entity["grand_total"] = entity["base_grand_total"] = "21.00"
        return real(state, entity, *arguments, **options)

    monkeypatch.setattr(CommerceState, "create_order", create)
    for number in range(1, 6):
        buy(road, [number])
        road.pass_time(minutes=1)
    buy_sound(road)
    failed_with(road, "2 of the last 2 created orders have another total in Commerce than on Amazon.")
    assert len(in_shop(road) - {SOUND}) == 2
    assert holds(road)[0].reason_code == "totals"
    assert road.value("select count(*) from ops.order_outbox where invoiced_at is null and linked_at is not null") == 0


def test_an_order_in_doubt_is_looked_up_when_its_store_is_stopped(road: Road) -> None:
    prepare(road)
    (doubted,) = buy(road, [1])
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    assert road.run_as_airflow() == []
    buy(road, range(2, 14))
    failed_with(road, GERMANY)
    failed_with(road, GERMANY)
    assert in_shop(road) == {doubted}
    assert road.shown(doubted).commerce_order_number is not None


def test_nothing_is_stopped_when_every_limit_is_zero(road: Road) -> None:
    limits = ("volume_factor", "price_factor", "blocked_percent", "refusals", "totals")
    prepare(road, **{f"breaker_{name}": 0 for name in limits})
    buy(road, range(1, 14), price="900.00")
    buy(road, range(20, 40), sku=UNKNOWN)
    assert road.run_as_airflow() == []
    assert len(in_shop(road)) == 13


def test_other_stores_are_not_starved_when_the_limit_of_a_run_is_small(road: Road) -> None:
    prepare(road)
    buy(road, range(1, 12))
    road.pass_time(minutes=1)
    buy_sound(road)
    road.change_settings(create_limit=1)
    failed_with(road, GERMANY)
    assert in_shop(road) == {SOUND}


def test_rehearsal_says_that_orders_are_stopped_when_the_run_is_dry(road: Road) -> None:
    prepare(road)
    buy(road, range(1, 12))
    failed_with(road, GERMANY)
    (late,) = buy(road, [30])
    road.pass_time(minutes=10)
    road.run_number += 1
    road.extract_amazon_orders(ACCOUNT)
    road.stage_amazon_orders()
    stamp: dict[str, Any] = {"dag_run_id": road.run_id, "is_dry_run": True}
    validate_orders.run(road.engine, road.commerce, road.stores, road.settings, now=road.now(), **stamp)
    work = (road.engine, road.commerce, road.cipher, ACCOUNT, road.stores, road.settings)
    create_commerce_orders.run(*work, clock=road.now, **stamp)
    (found,) = road.rows("select action, reason from ops.dry_run_results where amazon_order_id = :id", id=late)
    assert found.action == "wait"
    assert found.reason.startswith("The orders of the store are stopped: 11 orders")


def test_store_stays_stopped_when_it_is_renamed(road: Road) -> None:
    prepare(road)
    buy(road, range(1, 12))
    failed_with(road, GERMANY)
    (account,) = road.stores.accounts
    stores = tuple(replace(s, name="Acme DE") if s.name == GERMANY else s for s in account.stores)
    road.stores = type(road.stores)((replace(account, stores=stores),))
    failed_with(road, "orders of Acme DE")
    assert in_shop(road) == set()
