"""core.stores follows the stores file: first sight, changes, swaps, and stores that leave and come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.domain.stores import Account, Stores
from include.steps import stage_stores
from tests.support.orders import order_id
from tests.support.road import SHOP, Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}


def stores_by_name(road: Road) -> dict[str, Any]:
    return {row.store_name: row for row in road.rows("select * from core.stores")}


def history(road: Road) -> list[Any]:
    """The moves of the one order from state to state."""
    return road.rows("select * from core.order_status_changes where system_code = 'pipeline' order by changed_at")


def edit(road: Road, account_name: str, **changes: Any) -> Account:
    """Change one account of the stores file; returns it as it is now."""
    accounts = tuple(replace(a, **changes) if a.name == account_name else a for a in road.stores.accounts)
    road.stores = Stores(accounts)
    return road.stores.account(account_name)


def test_stores_are_recorded_when_seen_for_the_first_time(road: Road) -> None:
    now = road.now()
    admin_urls = {SHOP: "https://shop.example/admin"}
    accounts = stage_stores.run(road.engine, road.stores, admin_urls, now=now, dag_run_id="first")
    assert accounts == ["acme-na", "acme-eu", "acme-fe"]
    found = stores_by_name(road)
    assert set(found) == {store.name for store in road.stores.all()}
    us, canada = found["Acme US"], found["Acme Canada"]
    assert (us.account_name, us.seller_id, us.region) == ("acme-na", "A1EXAMPLESELLER", "na")
    assert (us.currency_code, us.seller_central_host) == ("USD", "sellercentral.amazon.com")
    assert us.commerce_admin_url == "https://shop.example/admin"
    assert us.connected_at == canada.connected_at == canada.import_since == now
    assert us.import_since == datetime(2026, 1, 1, tzinfo=UTC)
    assert (us.is_import_enabled, canada.is_import_enabled) == (True, False)
    assert all(row.is_connected for row in found.values())


def test_stores_are_the_same_when_staged_twice(road: Road) -> None:
    road.stage_stores()
    before = stores_by_name(road)
    road.pass_time(hours=1)
    road.stage_stores()
    assert stores_by_name(road) == before


def test_import_since_is_the_moment_of_connection_when_its_key_leaves_the_file(road: Road) -> None:
    road.stage_stores()
    road.pass_time(hours=1)
    road.change_store("Acme US", import_since=None)
    road.stage_stores()
    us = stores_by_name(road)["Acme US"]
    assert us.import_since == us.connected_at > datetime(2026, 1, 1, tzinfo=UTC)


def test_store_keeps_its_moment_and_its_orders_when_it_is_renamed(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    before = stores_by_name(road)["Acme US"]
    na = road.stores.account("acme-na")
    edit(road, "acme-na", stores=(replace(na.stores[0], name="Acme America"), *na.stores[1:]))
    road.next_run()
    found = stores_by_name(road)
    assert "Acme US" not in found
    assert found["Acme America"].connected_at == before.connected_at
    assert road.shown(ORDER).store_name == "Acme America"
    assert len(road.sandbox.commerce.orders()) == 1


def test_stores_keep_their_orders_when_two_swap_their_names(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    us, canada = road.stores.account("acme-na").stores
    edit(road, "acme-na", stores=(replace(us, name=canada.name), replace(canada, name=us.name)))
    road.next_run()
    found = stores_by_name(road)
    assert (found["Acme Canada"].currency_code, found["Acme US"].currency_code) == ("USD", "CAD")
    assert road.shown(ORDER).store_name == "Acme Canada"


def test_store_goes_on_as_before_when_it_leaves_the_file_and_comes_back(road: Road) -> None:
    connected_at = road.now()
    road.change_store("Acme US", import_since=None)
    road.stage_stores()
    na = road.stores.account("acme-na")
    road.pass_time(seconds=2)
    road.buy(ORDER, {"NONE": 1})
    road.buy(order_id(2), TRAY)
    road.next_run()
    assert (road.shown(ORDER).status, len(road.sandbox.commerce.orders())) == ("Error", 1)

    edit(road, "acme-na", stores=na.stores[1:])
    road.next_run()
    assert not stores_by_name(road)["Acme US"].is_connected
    shown = road.shown(ORDER)
    assert (shown.store_name, shown.status, shown.is_blocked) == ("Acme US", "Unshipped", False)
    assert "manage the order in Seller Central" in shown.order_notes

    edit(road, "acme-na", stores=na.stores)
    road.next_run()
    us = stores_by_name(road)["Acme US"]
    assert us.is_connected
    assert us.connected_at - connected_at < timedelta(minutes=1), "since when it is connected never changes"
    assert road.shown(ORDER).status == "Error"
    assert len(road.sandbox.commerce.orders()) == 1


def test_planned_order_is_canceled_when_its_store_leaves_the_file(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    na = road.stores.account("acme-na")
    edit(road, "acme-na", stores=na.stores[1:])
    road.next_run()
    assert road.sandbox.commerce.orders() == []
    assert road.value("select state from ops.order_outbox") == "canceled"
    edit(road, "acme-na", stores=na.stores)
    road.next_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [ORDER]


def test_left_out_orders_are_checked_again_when_the_settings_change(road: Road) -> None:
    road.change_store("Acme US", is_import_enabled=False)
    road.buy(ORDER, TRAY)
    road.next_run()
    road.stage_stores()
    assert road.value("select pipeline_state from core.orders") == "not_imported", "nothing changed"
    road.change_store("Acme US", is_import_enabled=True)
    road.run_number += 1
    road.stage_stores()
    assert road.value("select pipeline_state from core.orders") == "new"
    moved = history(road)[-1]
    assert (moved.from_code, moved.to_code, moved.dag_run_id) == ("not_imported", "new", road.run_id)
    assert moved.reason == "The settings of its store changed; checked again in this run."


def test_orders_of_an_unknown_store_are_checked_again_when_it_is_connected(road: Road) -> None:
    road.stage_stores()
    road.buy(ORDER, TRAY, marketplace_id="A2EUQ1WTGCTBG2", currency="CAD")
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    with road.engine.begin() as connection:
        connection.execute(text("delete from core.stores where store_name = 'Acme Canada'"))
    road.stage_amazon_orders()
    road.validate_orders()
    assert road.value("select pipeline_state from core.orders where store_name is null") == "not_imported"
    road.run_number += 1
    road.stage_stores()
    assert road.value("select pipeline_state from core.orders where store_name = 'Acme Canada'") == "new"
    moved = history(road)[-1]
    assert (moved.from_code, moved.to_code, moved.dag_run_id) == ("not_imported", "new", road.run_id)
    assert road.value("select dag_run_id from core.orders") == road.run_id


def test_created_order_stays_in_its_store_view_when_the_binding_changes(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    na = road.stores.account("acme-na")
    edit(road, "acme-na", stores=(replace(na.stores[0], commerce_store_view="ca"), *na.stores[1:]))
    road.next_run()
    road.next_run()
    (created,) = road.sandbox.commerce.orders()
    assert created["store_id"] == 1, "it stays where it was made"


def test_history_is_read_when_a_store_is_added_later(road: Road) -> None:
    na = road.stores.account("acme-na")
    edit(road, "acme-na", stores=na.stores[:1])
    road.buy(ORDER, TRAY, marketplace_id="A2EUQ1WTGCTBG2", currency="CAD")
    road.next_run()
    road.pass_time(hours=30)
    road.next_run()
    assert road.rows("select * from core.orders") == []
    edit(road, "acme-na", stores=na.stores)
    road.next_run()
    assert road.shown(ORDER).store_name == "Acme Canada"
