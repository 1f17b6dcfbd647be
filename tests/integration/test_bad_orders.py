"""One order, product, store or shop that goes bad delays only itself; whatever is sound is created in the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from include.adapters.commerce.client import CommerceClient
from include.domain.errors import MisconfiguredError, RunIncompleteError
from include.domain.stores import FixedCustomer, Stores
from include.steps import create_commerce_orders, validate_orders
from local.sandbox.faults import Fault
from local.sandbox.seeds import Product
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

A, B, C, D = (order_id(number) for number in range(1, 5))
TRAY = {"TRAY-WALNUT": 1}
CANADA = {"marketplace_id": "A2EUQ1WTGCTBG2", "currency": "CAD"}
FOREVER = 10_000


@pytest.fixture
def shop(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def buy_in_turn(road: Road, *order_ids: str, **options: Any) -> None:
    for one in order_ids:
        road.buy(one, TRAY, **options)
        road.pass_time(minutes=1)


def is_created(road: Road, amazon_order_id: str) -> bool:
    return road.shown(amazon_order_id).commerce_order_number is not None


def enable_canada(road: Road) -> None:
    since = road.stores.all()[0].orders.import_since
    road.change_store("Acme Canada", is_import_enabled=True, import_since=since)


def test_sound_order_gets_the_last_unit_when_an_older_one_is_in_the_wrong_currency(shop: Road) -> None:
    shop.sandbox.commerce.set_product("TRAY-WALNUT", quantities={1: Decimal(1), 2: Decimal(0)})
    buy_in_turn(shop, A, currency="EUR")
    buy_in_turn(shop, B)
    shop.run_as_airflow()
    assert shop.shown(A).blocker_codes == ["currency_mismatch"]
    assert is_created(shop, B)


@pytest.mark.parametrize("operation", ["searchOrders", "createOrder"])
def test_newer_order_is_created_in_the_same_run_when_three_older_ones_always_fail(shop: Road, operation: str) -> None:
    for one in (A, B, C):
        shop.sandbox.commerce_faults.add(Fault(operation, "html_500", times=FOREVER, about=one))
    buy_in_turn(shop, A, B, C)
    shop.buy(D, TRAY)
    assert shop.run_as_airflow() == []
    assert is_created(shop, D)
    assert not any(is_created(shop, one) for one in (A, B, C))
    assert shop.value("select min(next_attempt_at) from ops.order_outbox where finished_at is null") > shop.now()


def test_order_needs_attention_when_its_attempts_are_used_up(shop: Road) -> None:
    shop.change_settings(failed_attempts=3)
    shop.sandbox.commerce_faults.add(Fault("searchOrders", "html_500", times=FOREVER, about=A))
    buy_in_turn(shop, A)
    notes = []
    for _ in range(5):
        shop.run_as_airflow()
        notes.append(shop.shown(A).order_notes)
        shop.pass_time(hours=2)
    assert shop.shown(A).status == "Error"
    assert shop.shown(A).blocker_codes == ["needs_attention"]
    assert "Not created after 3 attempts: commerce searchOrders" in notes[-1]
    assert all(note.startswith("Not created") for note in notes), "the note does not alternate"
    assert shop.sandbox.commerce_faults.calls["searchOrders"] == 3

    shop.sandbox.amazon.apply(A, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    shop.run_as_airflow()
    assert shop.shown(A).status == "Canceled"


def test_no_order_is_blamed_when_the_whole_shop_is_down(shop: Road) -> None:
    buy_in_turn(shop, A, B, C, D)
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()
    shop.validate_orders()
    shop.new_task()
    calls = shop.sandbox.commerce_faults.calls.total()
    shop.sandbox.commerce_faults.add(Fault("*", "html_503", times=FOREVER))
    with pytest.raises(RunIncompleteError, match="commerce_api"):
        shop.create_commerce_orders()
    assert shop.sandbox.commerce_faults.calls.total() - calls == 2, "one attempt, one probe"
    assert shop.value("select max(failures) from ops.order_outbox") == 0
    shop.sandbox.commerce_faults.clear()
    shop.run_as_airflow()
    assert all(is_created(shop, one) for one in (A, B, C, D))


def test_limit_serves_the_sound_store_when_another_is_misconfigured(shop: Road) -> None:
    enable_canada(shop)
    buy_in_turn(shop, A, B, **CANADA)
    buy_in_turn(shop, C)
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()
    shop.validate_orders()
    shop.change_store("Acme Canada", customer=FixedCustomer("gone@example.com"))
    shop.change_settings(create_limit=2)
    with pytest.raises(MisconfiguredError, match="Acme Canada"):
        shop.create_commerce_orders()
    shop.publish_recent_orders()
    assert is_created(shop, C)


@pytest.mark.parametrize("is_done", [True, False])
def test_doubt_is_resolved_when_its_store_has_left_the_stores_file(shop: Road, is_done: bool) -> None:
    enable_canada(shop)
    buy_in_turn(shop, A, **CANADA)
    shop.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply" if is_done else "html_500"))
    shop.run_as_airflow()
    (account,) = shop.stores.accounts
    shop.stores = Stores((replace(account, stores=tuple(s for s in account.stores if s.name != "Acme Canada")),))
    for _ in range(3):
        shop.pass_time(hours=1)
        shop.run_as_airflow()
    assert is_created(shop, A) is is_done
    assert shop.value("select count(*) from ops.order_outbox where state = 'in_doubt'") == 0
    assert len(shop.sandbox.commerce.orders()) == is_done


def test_doubt_is_resolved_when_its_account_has_left_the_stores_file(road: Road) -> None:
    road.buy(A, TRAY)
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    road.run_as_airflow()
    road.stores = Stores(tuple(account for account in road.stores.accounts if account.name != "acme-na"))
    road.pass_time(hours=1)
    road.run_as_airflow()
    assert is_created(road, A)
    assert road.value("select invoiced_at is not null from ops.order_outbox")


def test_only_its_own_order_is_blocked_when_a_product_type_is_unknown_to_the_shops_inventory(shop: Road) -> None:
    odd = Product(901, "PLAN-YEAR", "Plan", Decimal(10), (1, 2, 3), type_id="subscription", quantities={1: Decimal(5)})
    shop.sandbox.commerce.add_product(odd)
    shop.buy(A, {"PLAN-YEAR": 1})
    shop.buy(B, TRAY)
    assert shop.run_as_airflow() == []
    assert shop.shown(A).blocker_codes == ["unsupported_product_type"]
    assert is_created(shop, B)


def test_run_is_red_and_orders_name_the_cause_when_one_of_two_shops_refuses_our_credentials(shop: Road) -> None:
    enable_canada(shop)
    (account,) = shop.stores.accounts
    stores = tuple(replace(s, commerce_connection="a_shop") if s.name == "Acme Canada" else s for s in account.stores)
    shop.stores = Stores((replace(account, stores=stores),))
    shop.buy(A, TRAY, **CANADA)
    shop.buy(B, TRAY)
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()

    def commerce(name: str) -> CommerceClient:
        if name == "a_shop":
            raise MisconfiguredError("Commerce refused storeViews (401). Resolution: check the credentials.")
        return shop.shop

    stamp: dict[str, Any] = {"dag_run_id": shop.run_id}
    accounts = validate_orders.run(shop.engine, commerce, shop.stores, shop.settings, now=shop.now(), **stamp)
    assert accounts == ["acme-na"]
    with pytest.raises(MisconfiguredError, match=r"Acme Canada: Commerce refused storeViews \(401\)"):
        create_commerce_orders.run(
            shop.engine, commerce, shop.cipher, "acme-na", shop.stores, shop.settings, clock=shop.now, **stamp
        )
    shop.publish_recent_orders()
    assert is_created(shop, B)
    shown = shop.shown(A)
    assert (shown.status, shown.blocker_codes) == ("Error", ["store_misconfigured"])
    assert "Commerce refused storeViews (401)" in shown.order_notes


def test_order_is_no_error_when_one_invoice_call_fails(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500"))
    shop.run_as_airflow()
    shown = shop.shown(A)
    assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Unshipped", False, [])
    assert "exists, but is not invoiced yet" in shown.order_notes


def test_creation_goes_on_with_the_next_run_when_its_time_is_used_up(shop: Road) -> None:
    buy_in_turn(shop, A, B)
    ticks = iter(range(1, 1000))
    start = shop.now()
    shop.change_settings(create_time_budget=timedelta(minutes=4), create_connections=1)
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()
    shop.validate_orders()

    def slow_clock() -> Any:
        return start + timedelta(minutes=15 + next(ticks))

    counts = _create(shop, slow_clock)
    assert (counts["created"], counts["left_for_next_run"]) == (1, 1)
    shop.run_as_airflow()
    assert is_created(shop, A) and is_created(shop, B)


def _create(road: Road, clock: Callable[[], Any]) -> dict[str, int]:
    return create_commerce_orders.run(
        road.engine,
        road.commerce,
        road.cipher,
        "acme-na",
        road.stores,
        road.settings,
        clock=clock,
        dag_run_id=road.run_id,
    )


def test_order_is_created_when_its_gift_message_has_half_a_surrogate_pair(shop: Road) -> None:
    shop.buy(A, TRAY)
    items = shop.sandbox.amazon.order(A)["orderItems"]
    items[0]["fulfillment"]["packing"]["giftOption"]["giftMessage"] = "For you \ud83d!"
    shop.sandbox.amazon.apply(A, {"orderItems": items})
    assert shop.run_as_airflow() == []
    assert is_created(shop, A)


def test_other_orders_are_created_when_one_contact_cannot_be_decrypted(shop: Road) -> None:
    buy_in_turn(shop, A, B)
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()
    with shop.engine.begin() as connection:
        connection.execute(
            text("update pii.order_contacts set contact_encrypted = 'gAAAA' where amazon_order_id = :id"), {"id": A}
        )
    shop.validate_orders()
    with pytest.raises(MisconfiguredError, match="cannot be decrypted"):
        shop.create_commerce_orders()
    shop.publish_recent_orders()
    assert is_created(shop, B)
    assert "cannot be decrypted" in shop.shown(A).order_notes
