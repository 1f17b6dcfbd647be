"""Orders are created over several connections at once, with two calls for each; a shop that throttles gets fewer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header

from include.adapters.commerce.auth import OAuth1
from include.domain.errors import ThrottledError
from local.sandbox.faults import Fault
from tests.support.foreign_order import a_commerce_order_like
from tests.support.fragile_road import FragileRoad
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDERS = [order_id(number) for number in range(1, 9)]
TRAY = {"TRAY-WALNUT": 1}
FBA = {"status": "SHIPPED", "fulfilled_by": "AMAZON"}


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def plan(road: Road, orders: list[str], **options: str) -> None:
    for one in orders:
        road.buy(one, TRAY, **options)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    road.sandbox.commerce_faults.calls.clear()


def calls(road: Road) -> dict[str, int]:
    return dict(road.sandbox.commerce_faults.calls)


def created(road: Road) -> list[str]:
    return sorted(order["ext_order_id"] for order in road.sandbox.commerce.orders())


def fragile(road: Road, at_moment: Callable[[str], object]) -> FragileRoad:
    fields = ("engine", "sandbox", "scenario", "settings", "stores", "cipher", "skipped", "run_number")
    return FragileRoad(**{name: getattr(road, name) for name in fields}, at_moment=at_moment)


def test_an_order_costs_a_post_and_an_invoice_when_validation_has_just_asked_for_its_products(road: Road) -> None:
    plan(road, ORDERS)
    road.create_commerce_orders()
    assert calls(road) == {"searchOrders": 1, "createOrder": len(ORDERS), "invoiceOrder": len(ORDERS)}
    assert {order["state"] for order in road.sandbox.commerce.orders()} == {"processing"}


def test_an_order_that_amazon_ships_is_complete_after_its_invoice(road: Road) -> None:
    plan(road, ORDERS, **FBA)
    counts = road.create_commerce_orders()
    assert counts["finished"] == len(ORDERS)
    # Looked up before, and looked at afterwards.
    assert calls(road) == {"searchOrders": 2, "createOrder": len(ORDERS), "invoiceOrder": len(ORDERS)}
    assert {order["state"] for order in road.sandbox.commerce.orders()} == {"complete"}
    assert road.sandbox.commerce.shipments() == []


def test_an_order_that_amazon_ships_is_completed_when_the_shop_ignores_its_lock(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.sandbox.commerce.orders.can_ship", lambda order: order["state"] != "complete")
    plan(road, ORDERS[:2], **FBA)
    road.create_commerce_orders()
    assert calls(road)["createOrder"] == 4  # the same address takes a new order and an order's new status
    assert {order["state"] for order in road.sandbox.commerce.orders()} == {"complete"}


def test_the_stores_own_status_is_set_after_the_invoice(road: Road) -> None:
    road.change_store("Acme US", processing_status="amazon_processing")
    plan(road, ORDERS[:2])
    road.create_commerce_orders()
    assert {order["status"] for order in road.sandbox.commerce.orders()} == {"amazon_processing"}
    assert calls(road) == {"searchOrders": 2, "createOrder": 2 + 2, "invoiceOrder": 2}


def test_four_orders_are_posted_at_the_same_time(road: Road) -> None:
    """Each waits until all four are about to be posted: one after the other, they would wait in vain."""
    plan(road, ORDERS[:4])
    together = threading.Barrier(4, timeout=60)

    def at_moment(moment: str) -> None:
        if moment == "before create_order":
            together.wait()

    with fragile(road, at_moment) as copy:
        copy.create_commerce_orders()
    assert created(road) == ORDERS[:4]


def test_no_more_orders_than_the_limit_are_created_over_several_connections(road: Road) -> None:
    plan(road, ORDERS)
    road.change_settings(create_limit=3)
    counts = road.create_commerce_orders()
    assert (counts["created"], counts["left_for_next_run"]) == (3, 5)


def test_an_order_that_a_person_has_entered_is_adopted_among_new_ones(road: Road) -> None:
    plan(road, ORDERS)
    by_hand = a_commerce_order_like(road, ORDERS[5])
    road.sandbox.commerce_faults.calls.clear()
    counts = road.create_commerce_orders()
    assert (counts["adopted"], counts["created"]) == (1, len(ORDERS) - 1)
    assert [order["entity_id"] for order in road.sandbox.commerce.order_by_ext_id(ORDERS[5])] == [by_hand]
    assert calls(road)["searchOrders"] == 1


def test_a_look_ahead_says_nothing_of_orders_that_another_worker_has_sent_since(road: Road) -> None:
    plan(road, ORDERS)
    for one in ORDERS:
        road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply", about=one))
    is_first = threading.Lock()

    def another_worker_sends_them_all(moment: str) -> None:
        if moment == "after find_orders_of" and is_first.acquire(blocking=False):
            with replace(road) as other:
                other.create_commerce_orders()

    with fragile(road, another_worker_sends_them_all) as copy:
        copy.create_commerce_orders()

    assert created(road) == ORDERS
    assert calls(road)["createOrder"] == len(ORDERS)
    assert road.rows("select distinct not_found_count from ops.order_outbox") == [(0,)]


def test_the_run_goes_on_with_fewer_when_the_shop_throttles_for_a_moment(road: Road) -> None:
    plan(road, ORDERS)
    road.change_settings(rate_limit_max_wait=road.settings.retry_delay)
    road.sandbox.commerce_faults.add(Fault("createOrder", "throttle", times=3, retry_after=1))
    road.create_commerce_orders()
    assert created(road) == ORDERS
    assert road.value("select count(*) from ops.order_outbox where finished_at is null") == 0


def test_orders_are_created_one_by_one_when_the_shop_has_throttled_lately(road: Road) -> None:
    plan(road, ORDERS[:4])
    road.skipped = timedelta()  # calls are recorded by the wall clock
    road.sandbox.commerce_faults.add(Fault("createOrder", "throttle", times=4, retry_after=60))
    with pytest.raises(ThrottledError):
        road.create_commerce_orders()
    assert created(road) == []
    lock, most = threading.Lock(), [0, 0]

    def count(moment: str) -> None:
        with lock:
            most[0] += {"before create_order": 1, "after create_order": -1}.get(moment, 0)
            most[1] = max(most)

    with fragile(road, count) as copy:
        copy.create_commerce_orders()
    assert created(road) == ORDERS[:4]
    assert most[1] == 1


def test_products_are_asked_for_again_when_validation_was_too_long_ago(road: Road) -> None:
    plan(road, ORDERS[:2])
    road.pass_time(minutes=20)
    road.create_commerce_orders()
    assert calls(road)["searchProducts"] == 2
    assert created(road) == ORDERS[:2]


def test_every_request_has_a_nonce_of_its_own_when_threads_sign_at_once(road: Road) -> None:
    auth = OAuth1("consumer", "secret", "token", "secret")
    client = road.shop._client

    def sign(_: int) -> str:
        request = next(auth.auth_flow(client.build_request("GET", "rest/all/V1/orders")))
        return dict(parse_authorization_header(request.headers["Authorization"]))["oauth_nonce"]

    with ThreadPoolExecutor(8) as pool:
        nonces = list(pool.map(sign, range(800)))
    assert len(set(nonces)) == len(nonces)
