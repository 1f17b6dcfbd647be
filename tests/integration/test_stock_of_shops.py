"""Where a shop's stock is read: multi-source inventory, legacy stock without it, and nowhere when nobody can say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from include.adapters.commerce.documents import read_stock_item
from include.domain.errors import MisconfiguredError, UnavailableError
from local.sandbox.commerce import app, routes
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.seeds import Scenario
from local.sandbox.servers import Sandbox
from tests.support.orders import order_id
from tests.support.road import Road

A, B = order_id(1), order_id(2)
TRAY = {"TRAY-WALNUT": 1}


def open_road(engine: Engine, scenario: Scenario, **shop: object) -> Iterator[Road]:
    changed = scenario.without_orders(**shop)
    with Sandbox(changed, enforce_rate_limits=False) as sandbox, Road(engine, sandbox, changed) as road:
        road.with_account("acme-na")
        yield road


@pytest.fixture
def legacy(engine: Engine, scenario: Scenario) -> Iterator[Road]:
    """A shop without multi-source inventory."""
    yield from open_road(engine, scenario, has_stocks=False)


def test_stock_is_allocated_from_the_legacy_stock_when_the_shop_has_no_other(legacy: Road) -> None:
    legacy.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(1)})
    legacy.buy(A, TRAY)
    legacy.pass_time(minutes=1)
    legacy.buy(B, TRAY)
    assert legacy.run_as_airflow() == []
    assert legacy.shown(A).commerce_order_number is not None
    assert legacy.shown(B).blocker_codes == ["out_of_stock"]
    legacy.run_as_airflow()
    assert legacy.shown(B).blocker_codes == ["out_of_stock"], "the first order's unit still counts as taken"


@pytest.mark.parametrize("free", [{"manage_stock": False}, {"backorders": True}])
def test_order_is_created_when_the_legacy_stock_is_not_limited(legacy: Road, free: dict[str, bool]) -> None:
    legacy.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(0)}, **free)
    legacy.buy(A, TRAY)
    assert legacy.run_as_airflow() == []
    assert legacy.shown(A).commerce_order_number is not None


def test_store_is_blocked_with_the_cause_when_its_website_has_no_stock(engine: Engine, scenario: Scenario) -> None:
    websites = tuple(replace(each, stock_id=0) if each.website_id == 1 else each for each in scenario.commerce.websites)
    for road in open_road(engine, scenario, websites=websites):
        road.buy(A, TRAY)
        (error,) = road.run_as_airflow()
        assert isinstance(error, MisconfiguredError) and "assign the website to a stock" in str(error)
        assert road.shown(A).blocker_codes == ["store_misconfigured"]
        assert road.sandbox.commerce.orders() == []


@pytest.mark.parametrize("message", ["", "The stock is being moved."])
def test_nothing_is_created_when_a_404_does_not_come_from_commerces_routes(
    road: Road, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """A 404 of a proxy, or of an error nobody knows, says nothing about the shop's stock."""
    road.with_account("acme-na")
    road.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(0)})

    def refuse(call: routes.Call) -> object:
        raise CommerceRefusal(404, message)

    def replaced(route: routes.Route) -> routes.Route:
        return replace(route, work=refuse) if route.operation == "stockResolver" else route

    monkeypatch.setattr(app, "ROUTES", tuple(map(replaced, routes.ROUTES)))
    road.buy(A, TRAY)
    (error,) = road.run_as_airflow()
    assert isinstance(error, UnavailableError) and "stockResolver" in str(error)
    assert road.sandbox.commerce.orders() == []
    monkeypatch.undo()
    road.run_as_airflow()
    assert road.shown(A).blocker_codes == ["out_of_stock"]


ITEM = {
    "qty": 7,
    "is_in_stock": True,
    "manage_stock": True,
    "use_config_manage_stock": True,
    "backorders": 0,
    "use_config_backorders": True,
    "min_qty": 2,
    "use_config_min_qty": True,
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Decimal(7)),
        ({"use_config_min_qty": False}, Decimal(5)),
        ({"use_config_min_qty": False, "min_qty": 9}, Decimal(0)),
        ({"is_in_stock": False}, Decimal(0)),
        ({"manage_stock": False}, Decimal(7)),
        ({"manage_stock": False, "use_config_manage_stock": False}, None),
        ({"backorders": 1, "use_config_backorders": False}, None),
        ({"backorders": 1}, Decimal(7)),
    ],
)
def test_legacy_stock_is_read_as_commerce_means_it_when_settings_differ(
    values: dict[str, object], expected: Decimal | None
) -> None:
    assert read_stock_item(ITEM | values) == expected
