"""Cancellations that people ask for: submitted to Amazon once, each with its own outcome, shown on the order."""

from __future__ import annotations

from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.steps import cancel_amazon_order
from tests.support.orders import MARKERS, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER, THIRD = order_id(1), order_id(2), order_id(3)
TRAY = "TRAY-WALNUT"


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def ask(road: Road, *orders: str, run_id: str = "", is_dry_run: bool = False, **params: Any) -> dict[str, str]:
    road.run_number += 1
    wanted = {"amazon_order_ids": list(orders or (ORDER,)), "reason": "NO_INVENTORY", **params}
    return cancel_amazon_order.run(
        road.engine,
        road.cipher,
        cancel_amazon_order.read_request(wanted),
        is_dry_run=is_dry_run,
        requested_by="olga",
        now=road.now(),
        dag_run_id=run_id or road.run_id,
    )


def bought(road: Road, *orders: str) -> None:
    for order in orders:
        road.buy(order, {TRAY: 1})
    road.next_run()


def follow(road: Road, rounds: int = 1) -> None:
    """Ten minutes later: the shipments run follows the feeds."""
    for _ in range(rounds):
        road.pass_time(minutes=10)
        road.submit_cancellations()


def state(road: Road, order: str = ORDER) -> str:
    found: str = road.value(
        "select state from ops.cancellation_outbox where amazon_order_id = :id order by requested_at desc limit 1",
        id=order,
    )
    return found


def submissions(road: Road, order: str = ORDER) -> int:
    """How often Amazon got the cancellation of an order."""
    return sum(feed["content"].count(f">{order}<".encode()) for feed in road.sandbox.amazon.feeds.all())


def note(road: Road, order: str = ORDER) -> str:
    road.publish_recent_orders()
    found: str = road.shown(order).order_notes
    return found


def test_order_is_canceled_on_amazon_and_in_commerce_when_a_person_asks(road: Road) -> None:
    bought(road, ORDER, OTHER)
    assert ask(road, comment="Broken in the warehouse.") == {ORDER: "is to be submitted to Amazon"}
    assert note(road).startswith(
        "olga asked to cancel the order on Amazon (NO_INVENTORY); it is about to be submitted."
    )
    road.submit_cancellations()
    assert note(road).startswith("The cancellation that olga asked for (NO_INVENTORY) is submitted;")
    follow(road)
    assert state(road) == "accepted"
    assert note(road).startswith("Amazon accepted the cancellation that olga asked for (NO_INVENTORY). The order is")
    road.next_run()
    road.next_run()
    road.submit_cancellations()
    assert road.sandbox.amazon.order(ORDER)["fulfillment"]["fulfillmentStatus"] == "CANCELLED"
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    assert order["state"] in ("canceled", "closed"), "by what cancels in Commerce whatever Amazon cancels"
    shown = note(road)
    assert shown.startswith("Canceled by olga (NO_INVENTORY). Amazon canceled the order;")
    assert road.shown(ORDER).status == "Canceled"
    assert road.sandbox.amazon.order(OTHER)["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
    (kept,) = road.rows("select * from ops.cancellation_outbox")
    assert (kept.requested_by, kept.comment, kept.reason) == ("olga", "Broken in the warehouse.", "NO_INVENTORY")
    assert road.value("select canceled_by from core.order_items where amazon_order_id = :id", id=ORDER) == "MERCHANT"
    assert submissions(road) == 1


def test_cancellation_is_submitted_once_when_it_is_asked_for_again_and_again(road: Road) -> None:
    bought(road, ORDER)
    ask(road, ORDER, ORDER)
    first = road.run_id
    assert "asked for already, by olga on" in ask(road)[ORDER]
    road.submit_cancellations()
    assert "asked for already" in ask(road, run_id=first)[ORDER]
    follow(road)
    assert "asked for already" in ask(road)[ORDER]
    follow(road, 3)
    assert submissions(road) == 1
    assert road.value("select count(*) from ops.cancellation_outbox") == 1


def test_others_are_canceled_when_amazon_refuses_one_message(road: Road) -> None:
    bought(road, ORDER, OTHER)
    ask(road, ORDER, OTHER)
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}})
    road.submit_cancellations()
    follow(road)
    assert (state(road, ORDER), state(road, OTHER)) == ("refused", "accepted")
    assert len(road.sandbox.amazon.feeds.all()) == 1, "one feed holds both"
    text = note(road)
    assert text.startswith("Amazon refused the cancellation that olga asked for: (18028) The order ")
    assert "Look at the order in Seller Central; cancel it there or ship it." in text


def test_reasons_are_named_and_the_rest_is_planned_when_orders_cannot_be_canceled(road: Road) -> None:
    road.buy(OTHER, {TRAY: 1}, status="PENDING", has_money=False)
    bought(road, ORDER)
    with pytest.raises(MisconfiguredError) as refusal:
        ask(road, ORDER, OTHER, THIRD)
    text = str(refusal.value)
    assert text.startswith("2 of 3 orders cannot be canceled, 1 can.")
    assert f"{OTHER}: Amazon is still verifying the payment. Resolution: wait" in text
    assert f"{THIRD}: it is not stored. Resolution: check the order id" in text
    road.submit_cancellations()
    assert (submissions(road), submissions(road, OTHER)) == (1, 0)


def test_amazon_is_not_asked_when_the_order_was_shipped_before_its_turn(road: Road) -> None:
    bought(road, ORDER)
    ask(road)
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}})
    road.next_run()
    road.submit_cancellations()
    assert submissions(road) == 0
    assert note(road).startswith("The cancellation that olga asked for was not submitted: it is shipped. Refund it in")


def test_nothing_is_submitted_when_amazon_has_canceled_the_order_first(road: Road) -> None:
    bought(road, ORDER)
    ask(road)
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    road.next_run()
    road.submit_cancellations()
    assert submissions(road) == 0
    assert state(road) == "done"
    assert note(road).startswith("Canceled on Amazon before the cancellation of olga was submitted.")


def test_person_looks_when_the_report_does_not_list_what_failed(road: Road) -> None:
    road.change_settings(cancellation_confirm_wait=road.settings.feed_poll_gap * 20)
    road.sandbox.amazon.feeds.silent_reports = 1
    bought(road, ORDER)
    ask(road)
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "PARTIALLY_SHIPPED"}})
    road.submit_cancellations()
    follow(road)
    assert "Its report does not say so for certain." in note(road)
    follow(road, 5)
    assert state(road) == "unconfirmed"
    assert note(road).startswith("Amazon took the cancellation of olga, but still reports the order as UNSHIPPED. Look")
    assert submissions(road) == 1
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}})
    ask(road)
    follow(road, 2)
    road.next_run()
    road.submit_cancellations()
    ended = road.rows("select state from ops.cancellation_outbox order by requested_at")
    assert [row.state for row in ended] == ["unconfirmed", "done"], "a person asked again"


@pytest.mark.parametrize("end", ["FATAL", "CANCELLED"])
def test_each_order_is_submitted_alone_when_amazon_ends_the_whole_feed(road: Road, end: str) -> None:
    bought(road, ORDER, OTHER)
    ask(road, ORDER, OTHER)
    road.sandbox.amazon.feeds.ends = [end]
    road.submit_cancellations()
    follow(road)
    assert state(road) == "planned"
    follow(road, 2)
    assert (state(road, ORDER), state(road, OTHER)) == ("accepted", "accepted")
    assert len(road.sandbox.amazon.feeds.all()) == 3
    assert submissions(road) == 2


def test_order_is_left_alone_when_an_aborted_feed_had_canceled_it(road: Road) -> None:
    bought(road, ORDER)
    ask(road)
    road.sandbox.amazon.feeds.ends = ["FATAL"]
    road.submit_cancellations()
    follow(road)
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    follow(road, 2)
    assert submissions(road) == 1
    road.next_run()
    road.submit_cancellations()
    assert state(road) == "done"


def test_person_decides_when_amazon_ends_the_feed_twice(road: Road) -> None:
    bought(road, ORDER)
    ask(road)
    road.sandbox.amazon.feeds.ends = ["FATAL", "FATAL"]
    follow(road, 5)
    assert state(road) == "refused"
    assert "Amazon ended the whole feed as FATAL. Look at the order in Seller Central" in note(road)
    assert submissions(road) == 2
    ask(road)
    follow(road, 2)
    assert state(road) == "accepted", "a person may ask again"


def test_nothing_changes_when_it_is_a_dry_run(road: Road) -> None:
    bought(road, ORDER)
    assert ask(road, is_dry_run=True) == {ORDER: "dry run, nothing was changed: is to be submitted to Amazon"}
    assert road.rows("select * from ops.cancellation_outbox") == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"amazon_order_ids": None}, "The param amazon_order_ids is no list of order ids."),
        ({"amazon_order_ids": []}, "The param amazon_order_ids is no list of order ids."),
        ({"amazon_order_ids": [" "]}, "The param amazon_order_ids is no list of order ids."),
        ({"amazon_order_ids": ORDER}, "The param amazon_order_ids is no list of order ids."),
        ({"amazon_order_ids": [str(n) for n in range(1001)]}, "The param amazon_order_ids has 1001 orders."),
        ({"reason": "BORED"}, "The param reason is 'BORED'. Resolution: use one of NO_INVENTORY, "),
        ({"reason": None}, "The param reason is None."),
        ({"comment": 7}, "The param comment is no text."),
    ],
)
def test_run_is_refused_when_its_params_are_wrong(params: dict[str, Any], message: str) -> None:
    wanted = {"amazon_order_ids": [ORDER], "reason": "NO_INVENTORY", **params}
    with pytest.raises(MisconfiguredError) as refusal:
        cancel_amazon_order.read_request(wanted)
    assert str(refusal.value).startswith(message)


def test_nothing_is_planned_when_the_comment_quotes_the_buyer(road: Road) -> None:
    bought(road, ORDER)
    road.sandbox.amazon.apply(ORDER, {"buyer": {"buyerName": MARKERS["buyerName"]}})
    road.next_run()
    with pytest.raises(MisconfiguredError, match="quotes the buyer's data"):
        ask(road, comment=f"{MARKERS['buyerName'].lower()} called.")
    assert road.rows("select * from ops.cancellation_outbox") == []


def test_amazon_is_not_called_when_nothing_is_asked_for(road: Road) -> None:
    bought(road, ORDER)
    before = sum(road.sandbox.amazon_faults.calls.values())
    assert road.submit_cancellations() == {}
    assert sum(road.sandbox.amazon_faults.calls.values()) == before
