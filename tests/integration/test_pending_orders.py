"""Whether orders that Amazon has not released yet take stock from others: `pending_orders` of the store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.domain.stores import Pack
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

WAITING, OTHER = order_id(1), order_id(2)
TRAY = "TRAY-WALNUT"
RELEASED = {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}}
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


@pytest.fixture
def road(road: Road) -> Road:
    """The road of a store that reserves; the stock has three trays."""
    road.with_account("acme-na")
    road.sandbox.commerce.set_quantity(TRAY, 1, Decimal(3))
    road.change_store("Acme US", are_pending_reserved=True)
    return road


def blockers(road: Road, amazon_order_id: str) -> list[str]:
    codes: list[str] = road.shown(amazon_order_id).blocker_codes
    return codes


# How the pending order differs, and whether its two units count as taken.
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "merchant": ({}, True),
    "amazon": ({"fulfilled_by": "AMAZON"}, False),
    "pre-ordered": ({"status": "PENDING_AVAILABILITY"}, False),
    "view only": ({"marketplace_id": "A2EUQ1WTGCTBG2", "currency": "CAD"}, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pending_units_are_taken_when_the_merchant_ships_them(road: Road, kind: str) -> None:
    options, is_taken = KINDS[kind]
    road.change_store("Acme Canada", are_pending_reserved=True)  # its import is disabled
    road.buy(WAITING, {TRAY: 2}, **{"status": "PENDING"} | options)
    road.pass_time(minutes=1)
    road.buy(OTHER, {TRAY: 2})
    road.next_run()
    assert blockers(road, OTHER) == (["out_of_stock"] if is_taken else [])
    assert not road.sandbox.commerce.order_by_ext_id(WAITING)
    if is_taken:
        assert "2 needed, 1 free to sell" in road.shown(OTHER).order_notes


def test_pending_units_are_free_when_the_store_ignores_them(road: Road) -> None:
    road.change_store("Acme US", are_pending_reserved=False)
    road.buy(WAITING, {TRAY: 2}, status="PENDING")
    road.buy(OTHER, {TRAY: 2})
    road.next_run()
    assert len(road.sandbox.commerce.order_by_ext_id(OTHER)) == 1
    road.sandbox.amazon.apply(WAITING, RELEASED)
    road.next_run()
    assert blockers(road, WAITING) == ["out_of_stock"]


@pytest.mark.parametrize(("change", "created"), [(RELEASED, WAITING), (CANCELLED, OTHER)], ids=["released", "canceled"])
def test_reserved_units_go_to_their_order_or_become_free_when_it_is_released_or_canceled(
    road: Road, change: dict[str, Any], created: str
) -> None:
    road.buy(WAITING, {TRAY: 2}, status="PENDING")
    road.pass_time(minutes=1)
    road.buy(OTHER, {TRAY: 2})
    for _ in range(2):
        road.next_run()
        assert blockers(road, OTHER) == ["out_of_stock"]
    road.sandbox.amazon.apply(WAITING, change)
    road.next_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [created]


def test_earlier_order_gets_the_units_when_the_pending_one_was_bought_later(road: Road) -> None:
    road.buy(OTHER, {TRAY: 2})
    road.pass_time(minutes=1)
    road.buy(WAITING, {TRAY: 2}, status="PENDING")
    road.next_run()
    assert len(road.sandbox.commerce.order_by_ext_id(OTHER)) == 1


def test_pack_reserves_all_of_its_units_when_it_is_pending(road: Road) -> None:
    road.change_store("Acme US", sku_map={"PACK": Pack(TRAY, 3)})
    road.buy(WAITING, {"PACK": 1}, status="PENDING")
    road.pass_time(minutes=1)
    road.buy(OTHER, {TRAY: 1})
    road.next_run()
    assert blockers(road, OTHER) == ["out_of_stock"]
