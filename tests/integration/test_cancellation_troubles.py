"""Cancellations when Amazon fails at each call of a feed, workers die, or two copies work: each is submitted once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from include.adapters.personal_data import PersonalDataCipher
from include.domain.errors import MisconfiguredError, OrdersError
from include.steps import cancel_amazon_order
from local.sandbox.faults import Fault, FaultKind
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.step_process import PII_KEY, StepProcess

pytestmark = pytest.mark.usefixtures("plain_rules")

TRAY, CANADA = "TRAY-WALNUT", "A2EUQ1WTGCTBG2"
KINDS: tuple[FaultKind, ...] = (
    "throttle",
    "html_500",
    "empty_500",
    "html_503",
    "lost_reply",
    "dropped",
    "expired_token",
    "broken_json",
)
ORDER, OTHER, THIRD = order_id(1), order_id(2), order_id(3)


@pytest.fixture
def road(road: Road) -> Road:
    road.cipher = PersonalDataCipher([PII_KEY])  # the other process has it too
    road.with_account("acme-na")
    return road


def bought(road: Road, *orders: str) -> None:
    for order in orders:
        road.buy(order, {TRAY: 1})
    road.pass_time(minutes=10)
    road.stage_stores()
    road.extract_amazon_orders()
    road.stage_amazon_orders()


def ask(road: Road, *orders: str) -> dict[str, str]:
    road.run_number += 1
    wanted = {"amazon_order_ids": list(orders), "reason": "NO_INVENTORY"}
    request = cancel_amazon_order.read_request(wanted)
    who: dict[str, Any] = {"requested_by": "olga", "now": road.now(), "dag_run_id": road.run_id}
    return cancel_amazon_order.run(road.engine, road.cipher, request, is_dry_run=False, **who)


def submit(road: Road) -> OrdersError | None:
    """The task as Airflow runs it: what it failed with."""
    try:
        road.submit_cancellations()
    except OrdersError as error:
        return error
    return None


def follow(road: Road, rounds: int = 8) -> list[OrdersError | None]:
    """Runs ten minutes apart, until nothing is left to follow."""
    failed = []
    for _ in range(rounds):
        road.pass_time(minutes=10)
        failed.append(submit(road))
        if not road.value("select count(*) from ops.cancellation_outbox where state in ('planned', 'submitted')"):
            break
    return failed


def submissions(road: Road, order: str = ORDER) -> int:
    return sum(feed["content"].count(f">{order}<".encode()) for feed in road.sandbox.amazon.feeds.all())


def states(road: Road) -> dict[str, str]:
    return dict(tuple(row) for row in road.rows("select amazon_order_id, state from ops.cancellation_outbox"))


@pytest.mark.parametrize(
    "operation",
    ["createFeedDocument", "uploadFeedDocument", "createFeed", "getFeed", "getFeedDocument", "downloadFeedDocument"],
)
def test_each_order_is_submitted_once_when_a_call_of_its_feed_fails(road: Road, operation: str) -> None:
    orders = {kind: order_id(number) for number, kind in enumerate(KINDS, start=1)}
    bought(road, *orders.values())
    for kind, order in orders.items():
        road.sandbox.amazon_faults.add(Fault(operation, kind))
        ask(road, order)
        submit(road)
        follow(road)
        assert road.sandbox.amazon_faults.pending() == [], kind
        assert submissions(road, order) == 1, kind
        assert states(road)[order] == "accepted", kind


@pytest.mark.parametrize("kind", KINDS)
def test_feed_is_created_once_when_looking_for_it_fails_too(road: Road, kind: FaultKind) -> None:
    bought(road, ORDER)
    road.sandbox.amazon_faults.add(Fault("createFeed", "lost_reply"))
    road.sandbox.amazon_faults.add(Fault("getFeeds", kind))
    ask(road, ORDER)
    submit(road)
    assert road.value("select state from ops.amazon_feeds") == "in_doubt"
    assert submit(road) is None, "before its time it is not looked for"
    follow(road)
    assert road.sandbox.amazon_faults.pending() == []
    assert submissions(road) == 1
    assert states(road) == {ORDER: "accepted"}
    assert road.sandbox.amazon_faults.calls["createFeed"] == 1


def test_feed_is_created_again_when_it_was_looked_for_twice_in_vain(road: Road) -> None:
    bought(road, ORDER)
    road.sandbox.amazon_faults.add(Fault("createFeed", "dropped"))
    ask(road, ORDER)
    submit(road)
    road.pass_time(minutes=10)
    submit(road)
    assert (submissions(road), road.sandbox.amazon_faults.calls["createFeed"]) == (0, 1), "once is not enough"
    follow(road)
    assert (submissions(road), road.sandbox.amazon_faults.calls["createFeed"]) == (1, 2)
    assert states(road) == {ORDER: "accepted"}


def test_no_second_feed_is_created_when_another_of_the_marketplace_is_in_doubt(road: Road) -> None:
    bought(road, ORDER, OTHER)
    road.sandbox.amazon_faults.add(Fault("createFeed", "dropped"))
    ask(road, ORDER)
    submit(road)
    ask(road, OTHER)
    submit(road)
    assert road.sandbox.amazon.feeds.all() == [], "whose it is could not be told later"
    follow(road)
    assert (submissions(road), submissions(road, OTHER)) == (1, 1)
    assert states(road) == {ORDER: "accepted", OTHER: "accepted"}


def test_nothing_is_submitted_twice_when_a_feed_of_somebody_else_is_found(road: Road) -> None:
    bought(road, ORDER, OTHER)
    road.sandbox.amazon_faults.add(Fault("createFeed", "dropped"))
    ask(road, ORDER)
    submit(road)
    with road.sandbox.amazon.with_feeds() as (feeds, now):
        document_id, path = feeds.add_document("A1EXAMPLESELLER", "text/xml", now)
        content = b"<AmazonEnvelope><Header><MerchantIdentifier>A1EXAMPLESELLER</MerchantIdentifier></Header>"
        content += b"<MessageType>OrderAcknowledgement</MessageType></AmazonEnvelope>"
        feeds.put_content(document_id, path.partition("=")[2], "text/xml", content, now)
        body = {"inputFeedDocumentId": document_id, "marketplaceIds": ["ATVPDKIKX0DER"]}
        feeds.create("A1EXAMPLESELLER", ("ATVPDKIKX0DER",), body | {"feedType": "POST_ORDER_ACKNOWLEDGEMENT_DATA"}, now)
    follow(road)
    assert road.value("select note from ops.cancellation_outbox").count("does not say so for certain") == 1
    road.pass_time(hours=7)
    submit(road)
    assert states(road) == {ORDER: "unconfirmed"}, "a person looks"
    assert submissions(road) == 0


@pytest.mark.parametrize(("kind", "times"), [("html_500", 1), ("expired_token", 2)])
def test_other_marketplace_is_not_delayed_when_the_feed_of_one_fails(road: Road, kind: FaultKind, times: int) -> None:
    road.buy(OTHER, {TRAY: 1}, marketplace_id=CANADA, currency="CAD")
    bought(road, ORDER)
    road.sandbox.amazon_faults.add(Fault("createFeed", kind, times=times, about=CANADA))
    ask(road, OTHER)
    ask(road, ORDER)
    submit(road)
    assert (submissions(road), submissions(road, OTHER)) == (1, 0)
    follow(road)
    assert states(road) == {ORDER: "accepted", OTHER: "accepted"}


def test_task_fails_and_the_rest_waits_when_amazon_keeps_failing(road: Road) -> None:
    bought(road, ORDER)
    road.sandbox.amazon_faults.add(Fault("token", "html_500", times=50))
    ask(road, ORDER)
    for _ in range(3):
        submit(road)
        road.pass_time(minutes=30)
    road.sandbox.amazon_faults.clear()
    follow(road)
    assert states(road) == {ORDER: "accepted"}
    assert submissions(road) == 1


def test_person_is_told_when_a_feed_is_never_taken(road: Road) -> None:
    road.change_settings(failed_attempts=2)
    bought(road, ORDER)
    road.sandbox.amazon_faults.add(Fault("uploadFeedDocument", "html_500", times=50))
    ask(road, ORDER)
    submit(road)
    follow(road)
    assert states(road) == {ORDER: "refused"}
    assert "Amazon did not take it in 2 attempts." in road.value("select note from ops.cancellation_outbox")


@pytest.mark.parametrize(
    "moment",
    [
        *("before upload", "after upload", "before submit", "after submit"),
        *("before state", "after state", "before report", "after report"),
    ],
)
def test_order_is_submitted_once_when_the_worker_is_killed(road: Road, moment: str) -> None:
    bought(road, ORDER, OTHER)
    ask(road, ORDER, OTHER)
    if moment.endswith(("state", "report")):
        submit(road)
        road.pass_time(minutes=10)
    process = StepProcess(road, "submit_cancellations", dies_at=moment)
    process.wait_for_death()
    process.wait_until_forgotten()
    submit(road)
    follow(road)
    assert (submissions(road), submissions(road, OTHER)) == (1, 1)
    assert states(road) == {ORDER: "accepted", OTHER: "accepted"}


def test_order_is_submitted_once_when_two_copies_ask_and_submit_at_once(road: Road) -> None:
    bought(road, ORDER, OTHER, THIRD)

    def work(copy: Road) -> None:
        ask(copy, ORDER, OTHER, THIRD)
        submit(copy)
        submit(copy)

    with ThreadPoolExecutor(2) as pool, replace(road) as first, replace(road, run_number=1000) as second:
        for done in [pool.submit(work, first), pool.submit(work, second)]:
            done.result()
    follow(road)
    assert [submissions(road, order) for order in (ORDER, OTHER, THIRD)] == [1, 1, 1]
    assert road.value("select count(*) from ops.cancellation_outbox") == 3


def test_person_must_act_when_the_account_has_left_the_stores_file(road: Road) -> None:
    bought(road, ORDER)
    ask(road, ORDER)
    with road.engine.begin() as connection:
        connection.exec_driver_sql("update ops.cancellation_outbox set account_name = 'gone'")

    def gateway(account_name: str) -> Any:
        raise MisconfiguredError(f"There is no account {account_name}. Resolution: put it back.")

    from include.steps import submit_cancellations

    with pytest.raises(MisconfiguredError, match="gone: There is no account gone"):
        submit_cancellations.run(road.engine, gateway, road.settings, clock=road.now, dag_run_id="x")
