"""Staging what Amazon changed: which orders are checked again, and what their history shows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}
PAID = {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}}
CHANGED = {"fulfillment": {"fulfillmentServiceLevel": "EXPEDITED"}}


def history(road: Road) -> list[Any]:
    return road.rows("select * from core.order_status_changes where system_code = 'pipeline' order by changed_at")


def plant(road: Road, statement: str) -> None:
    with road.engine.begin() as connection:
        connection.execute(text(statement))


def stage_change(road: Road) -> None:
    """Amazon lists a change of the order, and the next run stages it."""
    road.sandbox.amazon.apply(ORDER, CHANGED)
    road.pass_time(minutes=10)
    road.run_number += 1
    road.extract_amazon_orders()
    assert road.stage_amazon_orders()["orders"] == 1


def test_history_shows_the_check_and_its_run_when_amazon_releases_a_waiting_order(road: Road) -> None:
    road.buy(ORDER, TRAY, status="PENDING")
    road.next_run()
    assert [(moved.from_code, moved.to_code) for moved in history(road)] == [("new", "waiting")]
    road.sandbox.amazon.apply(ORDER, PAID)
    road.next_run()
    moves = history(road)
    assert [moved.to_code for moved in moves] == ["waiting", "new", "ready", "created"]
    assert (moves[1].from_code, moves[1].dag_run_id) == ("waiting", road.run_id)
    assert moves[1].reason == "Changed on Amazon; checked again in this run."


def test_order_stays_where_it_is_when_amazon_lists_it_unchanged(road: Road) -> None:
    road.buy(ORDER, TRAY, status="PENDING")
    road.next_run()
    road.next_run()
    assert [moved.to_code for moved in history(road)] == ["waiting"]


@pytest.mark.parametrize("outbox_state", ["planned", "rejected"])
def test_order_that_needs_attention_is_tried_afresh_when_amazon_changes_it(road: Road, outbox_state: str) -> None:
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    plant(road, f"update ops.order_outbox set state = '{outbox_state}', failures = 9, needs_attention_at = now()")
    plant(road, "update core.orders set pipeline_state = 'needs_attention'")
    stage_change(road)
    assert road.value("select pipeline_state from core.orders") == "new"
    assert (history(road)[-1].from_code, history(road)[-1].dag_run_id) == ("needs_attention", road.run_id)
    if outbox_state == "planned":
        assert road.rows("select failures, needs_attention_at from ops.order_outbox") == [(0, None)]
        road.next_run()
        assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [ORDER]


@pytest.mark.parametrize("outbox_state", ["sent", "in_doubt"])
def test_order_in_doubt_still_needs_attention_when_amazon_changes_it(road: Road, outbox_state: str) -> None:
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    plant(road, f"update ops.order_outbox set state = '{outbox_state}', failures = 9, needs_attention_at = now()")
    plant(road, "update core.orders set pipeline_state = 'needs_attention'")
    stage_change(road)
    assert road.value("select pipeline_state from core.orders") == "needs_attention"
    assert road.value("select failures from ops.order_outbox where needs_attention_at is not null") == 9


@pytest.mark.parametrize("state", ["blocked", "ready", "in_doubt", "created", "completed"])
def test_state_is_kept_when_amazon_changes_an_order_that_validation_or_creation_looks_after(
    road: Road, state: str
) -> None:
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    plant(road, f"update core.orders set pipeline_state = '{state}'")
    before = history(road)
    stage_change(road)
    assert road.value("select pipeline_state from core.orders") == state
    assert history(road) == before
