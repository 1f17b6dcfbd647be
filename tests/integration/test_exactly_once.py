"""Exactly once, whatever fails: random faults, kills and waits; then every kind of doubt about a creation by itself."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.domain.errors import OrdersError
from include.domain.stores import Store
from local.sandbox.faults import Fault
from tests.support.foreign_order import a_commerce_order_like
from tests.support.fragile_road import FragileRoad
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

GAP_MINUTES = 6.0  # a little more than in_doubt_gap


class Killed(BaseException):
    """Ends a step as a kill does: no handler of a step may take it for a failure."""


class Schedule:
    """Lets a road die after a number of moments (before and after each call); None: never."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self, moment: str) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed(moment)


@pytest.fixture
def fragile(road: Road) -> Iterator[FragileRoad]:
    fields = {name: getattr(road, name) for name in ("engine", "sandbox", "scenario", "settings", "cipher")}
    fragile = FragileRoad(**fields)
    fragile.with_account("acme-na")
    yield fragile
    fragile.shop.close()


# What may happen, each with what is drawn for it.
FAULTS = st.builds(
    Fault,
    operation=st.sampled_from(["createOrder", "createOrder", "searchOrders", "invoiceOrder", "getOrder"]),
    kind=st.sampled_from(
        ["lost_reply", "dropped", "empty_500", "html_500", "html_503", "broken_json", "throttle", "expired_token"]
    ),
    times=st.integers(1, 2),
    skip=st.integers(0, 2),
)
IMPORTABLE = {"status": "UNSHIPPED"}
KINDS = st.sampled_from(
    [
        IMPORTABLE,
        IMPORTABLE,
        {"status": "SHIPPED", "fulfilled_by": "AMAZON"},
        {"status": "PENDING"},
        {"status": "CANCELLED"},
    ]
)
EVENTS = st.one_of(
    st.tuples(st.just("buy"), KINDS),
    st.tuples(st.just("fault"), FAULTS),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("run until killed"), st.integers(0, 40)),
    st.tuples(st.just("create until killed"), st.integers(0, 20)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, GAP_MINUTES, 20.0])),
)
_numbers = itertools.count(1)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=KINDS, events=st.lists(EVENTS, min_size=5, max_size=10))
def test_each_importable_order_exists_once_when_anything_fails(
    fragile: FragileRoad, first: dict[str, str], events: list[tuple[str, Any]]
) -> None:
    """The examples share one shop and one database: what an example leaves behind is the next one's past."""
    road, faults, schedule = fragile, fragile.sandbox.commerce_faults, Schedule()
    road.at_moment = schedule
    beginning: list[tuple[str, Any]] = [("buy", first), ("buy", IMPORTABLE), ("wait", 10.0)]
    for event, value in beginning + events:
        match event:
            case "buy":
                road.buy(order_id(next(_numbers)), {"CANDLE-SOY-FIG": 1}, **value)
            case "fault":
                faults.add(value)
            case "wait":
                road.pass_time(minutes=value)
            case "run" | "run until killed" | "create until killed":
                schedule.left = value
                # What a run raises, Airflow tries again later: here that is a later event.
                with suppress(Killed, OrdersError):
                    road.orders_run() if event.startswith("run") else road.create_commerce_orders()
                schedule.left = None
    faults.clear()
    road.settle()

    bought = [road.sandbox.amazon.order(one) for one in road.sandbox.amazon.order_ids()]
    importable = [o["orderId"] for o in bought if o["fulfillment"]["fulfillmentStatus"] in ("UNSHIPPED", "SHIPPED")]
    assert Counter(o["ext_order_id"] for o in road.sandbox.commerce.orders()) == Counter(importable)
    for order in road.sandbox.commerce.orders():
        assert Decimal(order["total_invoiced"]) == Decimal(order["grand_total"])
    assert road.sandbox.commerce.mails == []
    outbox = road.rows("select * from ops.order_outbox")
    assert {row.amazon_order_id for row in outbox if row.state in ("created", "adopted")} == set(importable)
    assert [row.amazon_order_id for row in outbox if row.finished_at is None and row.state != "canceled"] == []


# One kind of doubt at a time.


@pytest.fixture
def shop(road: Road) -> Road:
    """A road with one account and one order that is ready to be created."""
    road.with_account("acme-na")
    road.buy(ONE, {"TRAY-WALNUT": 2})
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    assert outbox_state(road) == "planned"
    return road


ONE = order_id(1)


def outbox_state(road: Road) -> str:
    return str(road.value("select state from ops.order_outbox where amazon_order_id = :id", id=ONE))


def posts(road: Road) -> int:
    return road.sandbox.commerce_faults.calls["createOrder"]


def looks(road: Road) -> int:
    return road.sandbox.commerce_faults.calls["searchOrders"]


def lose_the_reply(road: Road, kind: str) -> None:
    road.sandbox.commerce_faults.add(Fault("createOrder", kind))  # type: ignore[arg-type]
    road.create_commerce_orders()
    assert (outbox_state(road), posts(road)) == ("in_doubt", 1)


@pytest.mark.parametrize("kind", ["dropped", "empty_500", "html_503"])
def test_an_order_is_posted_again_after_two_looks_when_it_never_arrived(shop: Road, kind: str) -> None:
    lose_the_reply(shop, kind)
    before = looks(shop)
    shop.create_commerce_orders()
    assert looks(shop) == before, "looked up before the pause was over"
    for look in (1, 2):
        shop.pass_time(minutes=GAP_MINUTES)
        shop.create_commerce_orders()
        assert (looks(shop), posts(shop)) == (before + look, 1)
    assert outbox_state(shop) == "planned"

    shop.orders_run()

    assert (outbox_state(shop), posts(shop)) == ("created", 2)
    assert len(shop.sandbox.commerce.order_by_ext_id(ONE)) == 1


@pytest.mark.parametrize("kind", ["lost_reply", "broken_json"])
def test_the_order_is_adopted_when_only_its_reply_was_lost(shop: Road, kind: str) -> None:
    lose_the_reply(shop, kind)
    shop.pass_time(minutes=GAP_MINUTES)
    counts = shop.create_commerce_orders()

    assert (counts["adopted"], counts["finished"], posts(shop)) == (1, 1, 1)
    (order,) = shop.sandbox.commerce.order_by_ext_id(ONE)
    assert Decimal(order["total_invoiced"]) == Decimal(order["grand_total"])
    linked = shop.rows("select * from ops.order_outbox")[0]
    assert (linked.state, linked.commerce_order_id) == ("adopted", str(order["entity_id"]))


def test_the_order_is_adopted_when_it_shows_only_at_the_second_look(shop: Road) -> None:
    """A shop that works on after the connection broke: the order comes into being after the first look."""
    lose_the_reply(shop, "dropped")
    shop.pass_time(minutes=GAP_MINUTES)
    shop.create_commerce_orders()
    late = a_commerce_order_like(shop, ONE)
    shop.pass_time(minutes=GAP_MINUTES)
    shop.create_commerce_orders()

    assert outbox_state(shop) == "adopted"
    assert [order["entity_id"] for order in shop.sandbox.commerce.order_by_ext_id(ONE)] == [late]
    assert posts(shop) == 1


def test_an_order_is_not_posted_again_at_once_when_its_worker_died(shop: Road) -> None:
    """The dead worker's request may still be under way: a look right now would not see what comes of it."""
    worker = FragileRoad(shop.engine, shop.sandbox, shop.scenario, cipher=shop.cipher, skipped=shop.skipped)
    worker.at_moment = dies_at("before create_order")
    with worker, pytest.raises(Killed):
        worker.create_commerce_orders()
    assert outbox_state(shop) == "sent"
    shop.orders_run()
    assert (outbox_state(shop), posts(shop)) == ("in_doubt", 0)

    late = a_commerce_order_like(shop, ONE)
    shop.settle()

    assert (outbox_state(shop), posts(shop)) == ("adopted", 0)
    assert [order["entity_id"] for order in shop.sandbox.commerce.order_by_ext_id(ONE)] == [late]


def dies_at(moment: str) -> Callable[[str], None]:
    def at_moment(reached: str) -> None:
        if reached == moment:
            raise Killed(moment)

    return at_moment


def test_nothing_is_concluded_when_a_look_fails(shop: Road) -> None:
    lose_the_reply(shop, "dropped")
    shop.sandbox.commerce_faults.add(Fault("searchOrders", "html_500", times=3))
    for _ in range(3):
        shop.pass_time(minutes=GAP_MINUTES)
        shop.create_commerce_orders()

    row = shop.rows("select * from ops.order_outbox")[0]
    assert (row.state, row.not_found_count, posts(shop)) == ("in_doubt", 0, 1)


def test_an_order_in_doubt_is_adopted_when_amazon_cancels_it_meanwhile(shop: Road) -> None:
    lose_the_reply(shop, "lost_reply")
    shop.sandbox.amazon.apply(ONE, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    shop.settle()

    assert (outbox_state(shop), posts(shop)) == ("adopted", 1)
    shown = shop.shown(ONE)
    assert shown.status == "Canceled"
    assert shown.commerce_order_number in shown.order_notes


def test_an_existing_order_is_adopted_when_it_was_there_before(shop: Road) -> None:
    existing = a_commerce_order_like(shop, ONE)
    shop.orders_run()

    assert (outbox_state(shop), posts(shop)) == ("adopted", 0)
    (order,) = shop.sandbox.commerce.order_by_ext_id(ONE)
    assert (order["entity_id"], Decimal(order["total_invoiced"])) == (existing, Decimal(20))


def test_an_adopted_order_is_invoiced_when_the_warehouse_was_faster(shop: Road) -> None:
    """Shipping makes an order `processing` like an invoice does."""
    lose_the_reply(shop, "lost_reply")
    shop.sandbox.commerce.ship(ONE, None, [("ups", "UPS", "1Z1")])
    shop.settle()

    (order,) = shop.sandbox.commerce.order_by_ext_id(ONE)
    assert (order["state"], Decimal(order["total_invoiced"])) == ("complete", Decimal(order["grand_total"]))
    assert shop.shown(ONE).status == "Completed"


def test_an_adopted_order_is_flagged_when_its_total_differs(shop: Road) -> None:
    a_commerce_order_like(shop, ONE, price="9.75")
    shop.sandbox.commerce_faults.add(Fault("getOrder", "html_500"))  # holds what follows the adoption
    shop.create_commerce_orders()

    row = shop.rows("select * from ops.order_outbox")[0]
    assert row.state == "adopted"
    shop.settle()
    shown = shop.shown(ONE)
    assert not shown.is_blocked
    assert "has the total 19.5, Amazon's is 20." in shown.order_notes
    (flagged,) = shop.rows("select * from reporting.flagged_orders")
    assert flagged.finding_code == "commerce_total_differs"
    assert posts(shop) == 0


def test_the_oldest_is_linked_and_an_error_logged_when_two_orders_exist(
    shop: Road, caplog: pytest.LogCaptureFixture
) -> None:
    oldest = a_commerce_order_like(shop, ONE)
    a_commerce_order_like(shop, ONE)
    with caplog.at_level(logging.ERROR):
        shop.orders_run()

    row = shop.rows("select * from ops.order_outbox")[0]
    assert (row.state, row.commerce_order_id) == ("adopted", str(oldest))
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert ONE in message and "Resolution" in message and row.commerce_order_number in message
    assert posts(shop) == 0


def with_amazon_numbers(road: Road) -> None:
    """stores.yaml with `order_number_source: amazon` for every store."""
    (account,) = road.stores.accounts

    def changed(store: Store) -> Store:
        return replace(store, orders=replace(store.orders, order_number_source="amazon"))

    account = replace(account, stores=tuple(changed(store) for store in account.stores))
    road.stores = replace(road.stores, accounts=(account,))


def test_the_order_is_rejected_when_a_stranger_has_its_number(shop: Road) -> None:
    stranger = a_commerce_order_like(shop, "another-channel-7", increment_id=ONE)
    with_amazon_numbers(shop)
    shop.orders_run()

    row = shop.rows("select * from ops.order_outbox")[0]
    assert (row.state, row.commerce_order_id, row.last_error_code) == ("rejected", None, "duplicate")
    shown = shop.shown(ONE)
    assert (shown.status, shown.blocker_codes) == ("Error", ["rejected_by_commerce"])
    assert "nique constraint" in shown.order_notes
    in_shop = shop.sandbox.commerce.orders()
    assert [order["entity_id"] for order in in_shop] == [stranger]
    assert "total_invoiced" not in in_shop[0]


def test_the_order_is_adopted_when_its_number_is_taken_by_itself(shop: Road) -> None:
    """The first post arrived after both looks; the second one's refusal is the proof that it is there."""
    with_amazon_numbers(shop)
    shop.orders_run(create=lambda account_name: lose_the_reply(shop, "dropped"))
    for _ in range(2):
        shop.pass_time(minutes=GAP_MINUTES)
        shop.create_commerce_orders()
    assert outbox_state(shop) == "planned"

    fragile = FragileRoad(shop.engine, shop.sandbox, shop.scenario, cipher=shop.cipher, skipped=shop.skipped)
    fragile.stores = shop.stores
    arrivals = iter([lambda: a_commerce_order_like(shop, ONE, increment_id=ONE)])

    def the_first_post_arrives(moment: str) -> None:
        if moment == "before create_order":
            next(arrivals)()

    fragile.at_moment = the_first_post_arrives
    with fragile:
        fragile.orders_run()

    assert outbox_state(shop) == "adopted"
    assert len(shop.sandbox.commerce.order_by_ext_id(ONE)) == 1
    assert posts(shop) == 2
