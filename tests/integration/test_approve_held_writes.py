"""What a person decides about stopped writes: approved, declined, not answered; recorded, and each order once."""

from __future__ import annotations

import threading
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.steps import approve_held_writes
from local.sandbox.faults import Fault
from tests.support.breaker import (
    BRITAIN,
    GERMANY,
    SOUND,
    buy,
    buy_sound,
    decide,
    failed_with,
    holds,
    in_shop,
    prepare,
)
from tests.support.fragile_road import FragileRoad
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}
APPROVED = {GERMANY: "Approved by olga; the next run goes on with them."}


@pytest.fixture
def stopped(road: Road) -> list[str]:
    """Eleven orders of a store that never had more than two a day."""
    prepare(road)
    orders = buy(road, range(1, 12))
    failed_with(road, GERMANY)
    return orders


def test_held_orders_are_created_once_when_they_are_approved(road: Road, stopped: list[str]) -> None:
    assert decide(road, store_name=GERMANY, comment="A sale.") == APPROVED
    assert road.run_as_airflow() == []
    assert in_shop(road) == set(stopped)
    assert holds(road) == []
    assert all(road.shown(one).order_notes.startswith("Created in Commerce") for one in stopped)
    (kept,) = road.rows("select * from ops.write_hold_decisions")
    assert (kept.decision, kept.decided_by, kept.comment) == ("approve", "olga", "A sale.")
    (hold,) = road.rows("select * from ops.write_holds")
    assert hold.approved_until - hold.approved_at == timedelta(days=1)


def test_store_is_not_stopped_again_when_more_orders_follow_an_approval(road: Road, stopped: list[str]) -> None:
    decide(road)
    more = buy(road, range(20, 26), price="500.00")
    assert road.run_as_airflow() == []
    assert in_shop(road) == {*stopped, *more}
    road.pass_time(days=2)
    later, (odd,) = buy(road, range(40, 52)), buy(road, [60], price="9000.00")
    assert road.run_as_airflow() == [], "so many are normal now"
    assert in_shop(road) == {*stopped, *more, *later}
    assert "9000.00 is an unusual total" in road.shown(odd).order_notes, "the approval is over"


def test_orders_stay_stopped_when_they_are_declined_until_somebody_approves(road: Road, stopped: list[str]) -> None:
    declined = "Declined by olga; they stay stopped until somebody approves them."
    assert decide(road, "decline", comment="The listing is wrong.") == {GERMANY: declined}
    buy_sound(road)
    failed_with(road, GERMANY)
    assert in_shop(road) == {SOUND}
    (hold,) = holds(road)
    assert (hold.decision, hold.decided_by, hold.waiting_count) == ("decline", "olga", 11)
    decide(road)
    assert road.run_as_airflow() == []
    assert in_shop(road) == {SOUND, *stopped}
    assert [row.decision for row in road.rows("select * from ops.write_hold_decisions order by decided_at")] == [
        "decline",
        "approve",
    ]


def test_orders_stay_stopped_when_nobody_answers_in_time(road: Road, stopped: list[str]) -> None:
    unanswered = {"chosen_options": ["Decline"], "params_input": {"comment": ""}, "responded_by_user": None}
    outcome = decide(road, None, answer=unanswered)
    assert outcome == {GERMANY: "Declined by time-out; they stay stopped until somebody approves them."}
    failed_with(road, GERMANY)
    assert in_shop(road) == set()


def test_orders_go_on_when_a_person_answers_airflows_question(road: Road, stopped: list[str]) -> None:
    user = {"id": "7", "name": "piet"}
    answer = {"chosen_options": ["Approve"], "params_input": {"comment": " Fine. "}, "responded_by_user": user}
    assert decide(road, None, answer=answer) == {GERMANY: "Approved by piet; the next run goes on with them."}
    assert road.value("select comment from ops.write_hold_decisions") == "Fine."
    assert road.run_as_airflow() == []
    assert in_shop(road) == set(stopped)


def test_nothing_is_decided_when_somebody_has_approved_before_the_answer(road: Road, stopped: list[str]) -> None:
    road.run_number += 1
    params = {"kind": "orders", "store_name": GERMANY, "decision": None, "comment": None, "dry_run": False}
    decide(road)
    answer = {"chosen_options": ["Decline"], "params_input": {}, "responded_by_user": None}
    work = (road.engine, params, answer, road.settings)
    assert approve_held_writes.run(*work, user_name="", now=road.now(), dag_run_id="manual__late") == {}
    assert road.run_as_airflow() == []
    assert in_shop(road) == set(stopped)


def test_nothing_changes_when_the_same_run_repeats_its_decision(road: Road, stopped: list[str]) -> None:
    first = decide(road, run_id="manual__1")
    before = road.dump()
    assert decide(road, run_id="manual__1") == first
    assert road.dump() == before


@pytest.mark.parametrize("decision", ["approve", "decline", None])
def test_nothing_changes_when_the_run_is_dry(road: Road, stopped: list[str], decision: str | None) -> None:
    before = road.dump()
    (outcome,) = decide(road, decision, is_dry_run=True).values()
    assert outcome.startswith("dry run, nothing was changed: ")
    assert road.dump() == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"kind": None}, "The param kind is empty. Resolution: use one of orders, cancellations, refunds"),
        ({"kind": "shipments"}, "The param kind is 'shipments'"),
        ({"decision": "yes"}, "The param decision is 'yes'. Resolution: use approve or decline"),
        ({"store_name": "Acme Mars"}, "store_name names Acme Mars, which is no store. .*Acme Deutschland, Acme UK"),
        ({"store_name": BRITAIN}, f"The orders of {BRITAIN} are not stopped"),
        ({"kind": "refunds"}, "The refunds of all stores are not stopped"),
        ({"comment": 5}, "The param comment must be text"),
    ],
)
def test_param_is_named_when_it_is_wrong(road: Road, stopped: list[str], params: dict[str, Any], message: str) -> None:
    before = road.dump()
    with pytest.raises(MisconfiguredError, match=message):
        decide(road, **{"decision": "approve", **params})
    assert road.dump() == before


def create_twice_at_once(road: Road) -> list[BaseException]:
    """Two copies of the creation side by side; how they failed."""
    failures: list[BaseException] = []

    def copy() -> None:
        try:
            road.create_commerce_orders("acme-eu")
        except BaseException as error:
            failures.append(error)

    copies = [threading.Thread(target=copy) for _ in range(2)]
    for one in copies:
        one.start()
    for one in copies:
        one.join()
    return failures


def test_each_order_is_created_once_when_two_copies_of_a_run_go_on_after_the_approval(
    road: Road, stopped: list[str]
) -> None:
    decide(road)
    road.validate_orders()
    assert create_twice_at_once(road) == []
    assert in_shop(road) == set(stopped)


def test_one_stop_is_opened_when_two_copies_of_a_run_find_the_same(road: Road) -> None:
    prepare(road)
    buy(road, range(1, 12))
    road.pass_time(minutes=10)
    road.extract_amazon_orders("acme-eu")
    road.stage_amazon_orders()
    road.validate_orders()
    assert [type(failure) for failure in create_twice_at_once(road)] == [MisconfiguredError] * 2
    assert road.value("select count(*) from ops.write_holds") == 1
    assert in_shop(road) == set()


def refunds(road: Road) -> int:
    return road.sandbox.commerce_faults.calls["refundOrder"]


def test_credit_memos_are_stopped_when_amazon_cancels_many_orders_at_once(road: Road) -> None:
    prepare(road, days=0)
    orders = buy(road, range(1, 6))
    buy_sound(road)
    assert road.run_as_airflow() == []
    for one in (*orders[:3], SOUND):
        road.sandbox.amazon.apply(one, CANCELLED)
    message = failed_with(road, f"refunds of {GERMANY}: 3 credit memos became due in 24 hours; the busiest day before")
    assert f"with kind refunds and store_name {GERMANY}" in message
    assert refunds(road) == 1, "that of the store beside"
    assert road.shown(orders[0]).order_notes.startswith(
        "Canceled on Amazon, but not taken off the Commerce order yet: the refunds of the store are stopped. 3 credit"
    )
    more = buy(road, [20])
    failed_with(road, "refunds of")
    assert in_shop(road) == {SOUND, *orders, *more}, "orders go on while refunds are stopped"
    decide(road, kind="refunds")
    road.sandbox.amazon.apply(orders[3], CANCELLED)
    for _ in range(2):
        assert road.run_as_airflow() == []
    assert refunds(road) == 5
    states = {one: road.sandbox.commerce.order_by_ext_id(one)[0]["state"] for one in orders}
    assert states == {one: "closed" for one in orders[:4]} | {orders[4]: "processing"}


def test_cancellations_are_stopped_when_amazon_cancels_many_orders_before_their_invoice(road: Road) -> None:
    prepare(road, days=0)
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500", times=100))
    orders = buy(road, range(1, 4))
    road.run_as_airflow()
    for one in orders:
        road.sandbox.amazon.apply(one, CANCELLED)
    road.pass_time(hours=1)
    failed_with(road, f"cancellations of {GERMANY}: 3 cancellations became due in 24 hours")
    assert road.sandbox.commerce_faults.calls["cancelOrder"] == 0
    decide(road, kind="cancellations")
    assert road.run_as_airflow() == []
    assert [road.sandbox.commerce.order_by_ext_id(one)[0]["state"] for one in orders] == ["canceled"] * 3


def test_an_order_that_amazon_cancels_needs_no_decision_when_it_alone_was_stopped(road: Road) -> None:
    prepare(road)
    (odd,) = buy(road, [1], price="500.00")
    assert road.run_as_airflow() == []
    road.sandbox.amazon.apply(odd, CANCELLED)
    assert road.run_as_airflow() == []
    assert holds(road) == []
    assert road.shown(order_id(1)).status == "Canceled"


class Killed(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize("moment", ["before create_order", "after create_order", "after invoice"])
def test_each_order_is_created_once_when_the_run_after_the_approval_is_killed(
    road: Road, stopped: list[str], moment: str
) -> None:
    decide(road)
    road.validate_orders()
    passed: list[str] = []

    def kill_at_the_second(now: str) -> None:
        passed.append(now)
        if passed.count(moment) == 2:
            raise Killed

    values = {name.name: getattr(road, name.name) for name in fields(road)}
    fragile = FragileRoad(**values, at_moment=kill_at_the_second)
    with fragile, pytest.raises(Killed):
        fragile.create_commerce_orders("acme-eu")
    assert holds(road) == []
    for _ in range(5):
        assert road.run_as_airflow() == []
    assert in_shop(road) == set(stopped)
