"""Where a shop's stock is read: multi-source inventory, legacy stock without it, and nowhere when nobody can say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from include.adapters.commerce.documents import read_stock_item
from include.domain.errors import MisconfiguredError, UnavailableError
from local.sandbox.commerce import app, routes
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.seeds import Product, Scenario
from local.sandbox.servers import Sandbox
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

A, B = order_id(1), order_id(2)
TRAY = {"TRAY-WALNUT": 1}
DE, SELLER_EU = "A1PA6795UKMFR9", "A2EXAMPLESELLER"


def open_road(engine: Engine, scenario: Scenario, **shop: object) -> Iterator[Road]:
    changed = scenario.without_orders(**shop)
    with Sandbox(changed, enforce_rate_limits=False) as sandbox, Road(engine, sandbox, changed) as road:
        road.with_account("acme-na")
        yield road


@pytest.fixture
def legacy(engine: Engine, scenario: Scenario) -> Iterator[Road]:
    """A shop without multi-source inventory."""
    yield from open_road(engine, scenario, has_stocks=False, rights=None)


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


# What is set for a product, units on hand, units of each order, and for how many of them the stock is enough.
LEDGER: dict[str, tuple[dict[str, Any], int, list[int], int]] = {
    "MANAGED": ({}, 3, [2, 2], 1),
    "UNMANAGED": ({"manage_stock": False}, 0, [2, 2], 2),
    "UNMANAGED-BY-SHOP": ({"manage_stock": False, "is_configured_by_shop": True}, 0, [2, 2], 2),
    "BACKORDERED": ({"backorders": True}, 0, [2, 2], 2),
    "BACKORDERED-BY-SHOP": ({"backorders": True, "is_configured_by_shop": True}, 0, [2, 2], 2),
    # Limits of a cart: one order is not stopped by them, and the sum of several orders is no cart.
    "MAX-FOR-SUM": ({"max_sale_qty": Decimal(5)}, 100, [1] * 8, 8),
    "MAX-FOR-ONE": ({"max_sale_qty": Decimal(5)}, 100, [6], 1),
    "MAX-AND-SHORT": ({"max_sale_qty": Decimal(5)}, 6, [1] * 8, 6),
    "MAX-UNMANAGED": ({"max_sale_qty": Decimal(5), "manage_stock": False}, 0, [1] * 8, 8),
    "MAX-BACKORDERED": ({"max_sale_qty": Decimal(5), "backorders": True}, 0, [1] * 8, 8),
    "MIN": ({"min_sale_qty": Decimal(3)}, 5, [1], 1),
    "MIN-AND-SHORT": ({"min_sale_qty": Decimal(3)}, 0, [1], 0),
    "INCREMENTS": ({"qty_increments": Decimal(2)}, 9, [1, 1, 1], 3),
    "INCREMENTS-AND-SHORT": ({"qty_increments": Decimal(2)}, 2, [1, 1, 1], 2),
}
# The shop's web server refuses these in a path: what can be sold of them is found by asking for quantities.
SLASHED = {f"{name}/SLASH": LEDGER[name] for name in ("MANAGED", "BACKORDERED", "MAX-FOR-SUM", "MIN", "INCREMENTS")}


@pytest.mark.parametrize(
    "shop",
    [{"has_stocks": True}, {"has_stocks": True, "checks_cart_limits": True}, {"has_stocks": False, "rights": None}],
    ids=["stocks", "stocks-with-cart-limits", "legacy"],
)
def test_only_the_stock_blocks_orders_when_products_differ_in_their_settings(
    engine: Engine, scenario: Scenario, shop: dict[str, Any]
) -> None:
    ledger = LEDGER | SLASHED if shop["has_stocks"] else LEDGER
    for road in open_road(engine, scenario, **shop):
        expected = {}
        for row, (sku, (changes, on_hand, orders, enough)) in enumerate(ledger.items()):
            product = Product(500 + row, sku, sku, Decimal(10), (1,), quantities={1: Decimal(on_hand)})
            road.sandbox.commerce.add_product(replace(product, **changes))
            for place, units in enumerate(orders):
                number = 100 * row + place
                road.buy(order_id(number), {sku: units})
                expected[order_id(number)] = (sku, [] if place < enough else ["out_of_stock"])
        for _ in range(2):  # the second run counts what the first has created as taken
            assert road.run_as_airflow() == []
            shown = {order: (sku, road.shown(order).blocker_codes) for order, (sku, _) in expected.items()}
            assert shown == expected
        created = [order for order, (_, codes) in expected.items() if not codes]
        assert {order["ext_order_id"] for order in road.sandbox.commerce.orders()} == set(created)


def test_unmanaged_product_is_in_stock_when_its_stock_has_no_source_of_it(road: Road) -> None:
    """Commerce itself then reports only that the product is not assigned to the stock."""
    for number, (sku, is_managed) in enumerate({"MANAGED": True, "UNMANAGED": False}.items(), start=1):
        product = Product(600 + number, sku, sku, Decimal(10), (2,), manage_stock=is_managed)
        road.sandbox.commerce.add_product(product)
        road.buy(order_id(number), {sku: 1}, marketplace_id=DE, currency="EUR", seller_id=SELLER_EU)
    road.next_run()
    assert road.shown(A).blocker_codes == ["out_of_stock"]
    assert road.shown(B).commerce_order_number is not None


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
        ({}, Decimal(5)),
        ({"use_config_min_qty": False}, Decimal(5)),
        ({"min_qty": 9}, Decimal(0)),
        ({"min_qty": None}, Decimal(7)),
        ({"is_in_stock": False}, Decimal(0)),
        ({"manage_stock": False}, None),
        ({"manage_stock": False, "is_in_stock": False, "use_config_manage_stock": False}, None),
        ({"backorders": 1}, None),
        ({"backorders": 2, "use_config_backorders": False}, None),
        # With a negative threshold, the merchant limits the backorders.
        ({"backorders": 1, "min_qty": -3}, Decimal(10)),
    ],
)
def test_legacy_stock_is_read_as_commerce_means_it_when_settings_differ(
    values: dict[str, object], expected: Decimal | None
) -> None:
    assert read_stock_item(ITEM | values) == expected
