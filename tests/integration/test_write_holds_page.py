"""What Recent Orders says of stopped writes, as the role orders_ui."""

from __future__ import annotations

import pytest

from tests.support.breaker import GERMANY, buy, decide, failed_with, prepare
from tests.support.recent_orders_answers import MakeClient, text_of
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

WHAT_TO_DO = (
    "What to do: Check these orders, then trigger the DAG approve_held_writes with kind orders and "
    f"store_name {GERMANY}, or answer the request if one waits under Required Actions in Airflow."
)


def test_page_says_what_is_stopped_why_and_who_declined_when_a_store_is_stopped(
    road: Road, make_client: MakeClient
) -> None:
    prepare(road)
    buy(road, range(1, 12))
    failed_with(road, GERMANY)
    page = make_client()
    shown = text_of(page.get("/").text)
    assert f"{GERMANY}: the orders are stopped since " in shown
    assert "11 orders are to be created or were created in 24 hours; the busiest of the last 30 days had 2." in shown
    assert f"11 orders wait. {WHAT_TO_DO}" in shown
    decide(road, "decline")
    shown = text_of(page.get("/").text)
    assert "11 orders wait. Declined by olga on " in shown, shown[:1500]
    decide(road)
    assert "stopped" not in text_of(page.get("/").text.partition("<table")[0])


def test_page_says_that_one_order_is_stopped_when_only_its_total_is_odd(road: Road, make_client: MakeClient) -> None:
    prepare(road)
    buy(road, [1], price="500.00")
    buy(road, [2])
    assert road.run_as_airflow() == []
    shown = text_of(make_client().get("/").text)
    assert f"{GERMANY}: 1 order is stopped since " in shown
    assert (
        f"500.00 is an unusual total; nearly all orders of the last 30 days were between 20.00 and 20.00. {WHAT_TO_DO}"
        in shown
    )
