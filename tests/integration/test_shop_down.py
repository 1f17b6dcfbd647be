"""A shop that does not answer delays its own orders only; they say so, and go on once it is back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from include.domain.errors import MisconfiguredError, UnavailableError
from include.domain.stores import Stores
from local.sandbox.faults import Fault
from local.sandbox.seeds import Product, Scenario
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.two_shops import TwoShops, open_two_shops

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY = "TRAY-WALNUT"
US_STOCK, EU_STOCK = 1, 2
IN_UK = {"marketplace_id": "A1F83G8C2ARO7P", "currency": "GBP", "seller_id": "A2EXAMPLESELLER"}


def created(road: Road) -> set[str]:
    """Amazon ids of the orders that the first shop has; none twice."""
    found = [order["ext_order_id"] for order in road.sandbox.commerce.orders()]
    assert len(found) == len(set(found))
    return set(found)


def test_orders_wait_when_commerce_is_down_during_validation(road: Road) -> None:
    road.buy(ORDER, {TRAY: 1})
    road.buy(order_id(2), {"NONE": 1})
    road.pass_time(minutes=10)
    road.sandbox.commerce_faults.add(Fault("*", "html_503", times=50))
    with pytest.raises(UnavailableError):
        road.orders_run()
    road.publish_recent_orders()
    for number in (1, 2):
        shown = road.shown(order_id(number))
        assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Unshipped", False, [])
        assert shown.order_notes == "Commerce could not be asked about the products; the next run asks again."
    road.sandbox.commerce_faults.clear()
    road.next_run()
    assert created(road) == {ORDER}
    assert road.shown(order_id(2)).blocker_codes == ["missing_product"]


def test_blocked_order_stays_blocked_when_commerce_is_down(road: Road) -> None:
    road.buy(ORDER, {"NONE": 1})
    road.next_run()
    before = road.shown(ORDER)
    road.sandbox.commerce_faults.add(Fault("*", "html_503", times=50))
    with pytest.raises(UnavailableError):
        road.next_run()
    road.publish_recent_orders()
    assert road.shown(ORDER) == before
    assert road.rows("select closed_at from ops.blocker_episodes") == [(None,)]
    road.sandbox.commerce_faults.clear()
    road.sandbox.commerce.add_product(Product(99, "NONE", "Now there", Decimal(10), (1,), quantities={1: Decimal(5)}))
    road.next_run()
    assert created(road) == {ORDER}


@pytest.fixture
def two_shops(engine: Engine, scenario: Scenario) -> Iterator[TwoShops]:
    with open_two_shops(engine, scenario) as road:
        na = road.stores.account("acme-na")
        moved = tuple(replace(store, commerce_connection="commerce_second") for store in na.stores)
        rest = tuple(account for account in road.stores.accounts if account is not na)
        road.stores = Stores((replace(na, stores=moved), *rest))
        yield road


@pytest.mark.parametrize("trouble", ["html_503", "dropped", "expired_token"])
def test_only_its_own_orders_wait_when_one_of_two_shops_is_down(two_shops: TwoShops, trouble: Any) -> None:
    road = two_shops
    assert road.second is not None
    road.buy(ORDER, {TRAY: 1})
    road.buy(order_id(2), {TRAY: 1}, **IN_UK)
    road.second.commerce_faults.add(Fault("*", trouble, times=50))
    with pytest.raises(MisconfiguredError, match="Acme US"):  # the run is red and names the store
        road.next_run()
    road.publish_recent_orders()
    assert created(road) == {order_id(2)}
    assert road.second.commerce.orders() == []
    is_refused = trouble == "expired_token"
    assert (road.shown(ORDER).status, road.shown(ORDER).is_blocked) == (
        ("Error", True) if is_refused else ("Unshipped", False)
    )
    expected = "The shop cannot be used: Commerce refused" if is_refused else "Commerce could not be asked about"
    assert road.shown(ORDER).order_notes.startswith(expected)
    road.second.commerce_faults.clear()
    road.next_run()
    assert [order["ext_order_id"] for order in road.second.commerce.orders()] == [ORDER]


def test_stock_of_two_shops_is_not_shared_when_its_number_is_the_same(two_shops: TwoShops) -> None:
    road = two_shops
    assert road.second is not None
    road.sandbox.commerce.set_quantity(TRAY, EU_STOCK, Decimal(1))
    road.second.commerce.set_quantity(TRAY, US_STOCK, Decimal(1))
    road.buy(ORDER, {TRAY: 1})
    road.buy(order_id(2), {TRAY: 1}, **IN_UK)
    road.next_run()
    assert created(road) == {order_id(2)}
    assert [order["ext_order_id"] for order in road.second.commerce.orders()] == [ORDER]


def test_error_names_the_choices_when_the_shop_has_no_such_store_view(road: Road) -> None:
    na = road.stores.account("acme-na")
    lost = tuple(replace(store, commerce_store_view="nowhere") for store in na.stores)
    found = road.stores
    road.stores = Stores(tuple(replace(na, stores=lost) if account is na else account for account in found.accounts))
    road.buy(ORDER, {TRAY: 1})
    with pytest.raises(MisconfiguredError, match=r"Store Acme US: .* no store view 'nowhere'.*use one of .*default"):
        road.next_run()
    road.publish_recent_orders()
    assert "no store view 'nowhere'" in road.shown(ORDER).order_notes
    road.stores = found
    road.next_run()
    assert created(road) == {ORDER}
