"""One order, store, shop or refusal that goes wrong delays only itself, and whatever is fixed goes on by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.commerce.client import CommerceClient
from include.domain.errors import MisconfiguredError, NotFoundError
from include.domain.stores import FixedCustomer, Stores
from include.steps import extract_commerce_shipments, validate_orders
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import Fault
from local.sandbox.seeds import AmazonOrderSeed, Product
from tests.support.foreign_order import a_commerce_order_like
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

A, B, C, D = (order_id(number) for number in range(1, 5))
TRAY = {"TRAY-WALNUT": 1}
CANADA = {"marketplace_id": "A2EUQ1WTGCTBG2", "currency": "CAD"}
CANCELED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


@pytest.fixture
def shop(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def refuse(road: Road) -> None:
    """An order that Commerce refuses each time: a stranger's order has its number."""
    road.change_store("Acme US", order_number_source="amazon")
    a_commerce_order_like(road, "another-channel-7", increment_id=A)
    road.buy(A, TRAY)


def test_only_its_own_order_is_blocked_when_a_product_is_a_bundle(shop: Road) -> None:
    bundle = Product(900, "SET-BUNDLE", "Set", Decimal(10), (1, 2, 3), type_id="bundle", quantities={1: Decimal(5)})
    shop.sandbox.commerce.add_product(bundle)
    shop.buy(A, {"SET-BUNDLE": 1})
    shop.buy(B, TRAY)

    assert shop.run_as_airflow() == []

    assert shop.shown(A).blocker_codes == ["unsupported_product_type"]
    assert shop.shown(A).status == "Error"
    assert shop.shown(B).commerce_order_number is not None


def test_only_its_own_orders_wait_when_a_store_view_does_not_exist(shop: Road) -> None:
    since = shop.stores.all()[0].orders.import_since
    shop.change_store("Acme Canada", is_import_enabled=True, import_since=since)
    (account,) = shop.stores.accounts
    shop.stores = Stores(
        (replace(account, stores=tuple(
            replace(store, commerce_store_view="nope") if store.name == "Acme Canada" else store
            for store in account.stores
        )),)
    )  # fmt: skip
    shop.buy(A, TRAY)
    shop.buy(B, TRAY, **CANADA)

    shop.run_as_airflow()
    errors = shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None
    assert "no store view 'nope'" in shop.shown(B).order_notes
    assert [type(error) for error in errors] == [MisconfiguredError]


def test_only_amazon_fulfilled_orders_wait_when_their_store_view_does_not_exist(shop: Road) -> None:
    shop.change_store("Acme US", amazon_fulfilled_store_view="nope")
    shop.buy(B, TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    shop.pass_time(minutes=1)
    shop.buy(A, TRAY)

    errors = shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None
    assert "no store view 'nope'" in shop.shown(B).order_notes
    assert [type(error) for error in errors] == [MisconfiguredError]


def test_only_its_own_orders_wait_when_a_fixed_customer_is_missing(shop: Road) -> None:
    since = shop.stores.all()[0].orders.import_since
    shop.change_store(
        "Acme Canada", customer=FixedCustomer("gone@example.com"), is_import_enabled=True, import_since=since
    )
    shop.buy(B, TRAY, **CANADA)
    shop.pass_time(minutes=1)
    shop.buy(A, TRAY)

    errors = shop.run_as_airflow()

    assert [type(error) for error in errors] == [MisconfiguredError]
    assert shop.shown(A).commerce_order_number is not None
    assert "customer" in shop.shown(B).order_notes


def test_order_is_created_when_its_blocked_line_is_emptied_on_amazon(shop: Road) -> None:
    shop.buy(A, {"TRAY-WALNUT": 1, "NO-SUCH": 1})
    shop.run_as_airflow()
    assert shop.shown(A).blocker_codes == ["missing_product"]
    items = shop.sandbox.amazon.order(A)["orderItems"]
    items[1]["quantityOrdered"] = 0
    items[1]["fulfillment"]["quantityUnfulfilled"] = 0
    del items[1]["proceeds"]
    total = {"grandTotal": {"amount": "10.00", "currencyCode": "USD"}}
    shop.sandbox.amazon.apply(A, {"orderItems": items, "proceeds": total})

    shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None
    assert shop.shown(A).blocker_codes == []


def test_new_order_is_created_when_the_shop_fails_on_some_invoices(shop: Road) -> None:
    for one in (A, B, C):
        shop.buy(one, TRAY)
        shop.pass_time(minutes=1)
    shop.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500", times=3))
    shop.run_as_airflow()
    shop.buy(D, TRAY)
    shop.sandbox.commerce_faults.clear()

    shop.run_as_airflow()

    assert shop.shown(D).commerce_order_number is not None
    assert shop.value("select count(*) from ops.order_outbox where finished_at is not null") >= 1


def test_linked_order_is_invoiced_later_when_the_shop_does_not_know_it_for_a_moment(
    shop: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.buy(A, TRAY)
    real = CommerceClient.invoice
    asked = []

    def invoice(client: CommerceClient, commerce_order_id: str) -> str:
        asked.append(commerce_order_id)
        if len(asked) == 1:
            raise NotFoundError("commerce invoiceOrder: not found", code="404", reason="No such entity.")
        return real(client, commerce_order_id)

    monkeypatch.setattr(CommerceClient, "invoice", invoice)
    shop.run_as_airflow()
    assert shop.shown(A).status == "Error"

    shop.pass_time(hours=1)
    shop.run_as_airflow()

    assert shop.shown(A).status == "Unshipped"
    assert shop.shown(A).order_notes.startswith("Created in Commerce")
    assert shop.value("select invoiced_at is not null from ops.order_outbox")


def test_attempts_end_after_five_when_commerce_refuses_each_time(shop: Road) -> None:
    refuse(shop)
    for _ in range(4):
        shop.run_as_airflow()
        shop.pass_time(days=1)
    assert shop.value("select refusals from ops.order_outbox") == 4
    assert shop.value("select next_attempt_at is not null from ops.order_outbox")

    shop.run_as_airflow()

    assert shop.value("select next_attempt_at from ops.order_outbox") is None
    assert "Refused 5 times" in shop.shown(A).order_notes


def test_all_are_created_when_the_cause_of_their_refusals_is_gone(shop: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payment method that is switched off: every order is refused until somebody switches it on again."""
    refusal = CommerceRefusal(400, "The payment method of order %1 is not available.", ["planted"])
    real = CommerceState.create_order

    def refuse_all(state: CommerceState, entity: Any, *arguments: Any, **options: Any) -> Any:
        raise refusal

    monkeypatch.setattr(CommerceState, "create_order", refuse_all)
    shop.change_settings(refused_attempts=2)
    for one in (A, B, C):
        shop.buy(one, TRAY)
        shop.pass_time(minutes=1)
    for _ in range(2):
        shop.run_as_airflow()
        shop.pass_time(hours=1)
    assert shop.value("select count(*) from ops.order_outbox where next_attempt_at is null and refusals = 2") == 3
    assert "the others follow when it passes" in shop.value("select max(remedy) from ops.blocker_episodes")

    posts = shop.sandbox.commerce_faults.calls["createOrder"]
    for _ in range(4):
        shop.pass_time(minutes=25)
        shop.run_as_airflow()
    assert 1 <= shop.sandbox.commerce_faults.calls["createOrder"] - posts <= 3, "one tries for all, once an hour"

    monkeypatch.setattr(CommerceState, "create_order", real)
    shop.pass_time(hours=1)
    shop.run_as_airflow()
    assert len(shop.sandbox.commerce.orders()) == 1
    shop.run_as_airflow()
    assert {shop.shown(one).status for one in (A, B, C)} == {"Unshipped"}
    assert len(shop.sandbox.commerce.orders()) == 3


def test_package_is_accepted_when_its_tracking_number_has_blanks(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.run_as_airflow()
    shop.sandbox.commerce.ship(A, None, [("ups", "UPS", "1Z99 ")])
    for _ in range(3):
        shop.pass_time(hours=1)
        shop.shipments_run()
    assert shop.value("select state from ops.shipment_outbox") == "accepted"


def test_doubt_is_resolved_when_the_store_is_renamed(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    shop.run_as_airflow()
    (account,) = shop.stores.accounts
    stores = tuple(replace(s, name="Acme USA") if s.name == "Acme US" else s for s in account.stores)
    shop.stores = Stores((replace(account, stores=stores),))

    shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None
    assert len(shop.sandbox.commerce.orders()) == 1


def test_error_gives_the_former_name_when_an_account_is_renamed(shop: Road) -> None:
    shop.run_as_airflow()
    (account,) = shop.stores.accounts
    stores = tuple(replace(store, account_name="acme-north") for store in account.stores)
    shop.stores = Stores((replace(account, name="acme-north", stores=stores),))
    with pytest.raises(MisconfiguredError, match="was called acme-na before"):
        shop.stage_stores()


def test_refused_order_is_no_longer_blocked_when_amazon_cancels_it(shop: Road) -> None:
    refuse(shop)
    shop.run_as_airflow()
    assert shop.rows("select * from reporting.blocked_orders")
    shop.sandbox.amazon.apply(A, CANCELED)

    shop.run_as_airflow()

    assert shop.rows("select * from reporting.blocked_orders") == []
    assert shop.shown(A).status == "Canceled"


def test_shipments_are_read_when_another_shop_refuses_our_credentials(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.buy(B, TRAY)
    shop.run_as_airflow()
    with shop.engine.begin() as connection:
        connection.exec_driver_sql(
            f"update ops.order_outbox set commerce_connection = 'a_shop' where amazon_order_id = '{A}'"
        )
    shop.sandbox.commerce.ship(B, None, [("ups", "UPS", "1Z1")])

    def commerce(name: str) -> CommerceClient:
        if name == "a_shop":
            raise MisconfiguredError("Commerce refused searchShipments (401)")
        return shop.shop

    with pytest.raises(MisconfiguredError):
        extract_commerce_shipments.run(shop.engine, commerce, shop.settings, now=shop.now(), dag_run_id="test")
    assert [row.amazon_order_id for row in shop.rows("select amazon_order_id from raw.commerce_shipments")] == [B]


def test_old_order_is_created_when_import_since_is_set_back_later(shop: Road) -> None:
    shop.change_store("Acme US", import_since=None)
    shop.run_as_airflow()
    old = amazon_order(A, TRAY, at=datetime.now(UTC) - timedelta(days=60))
    shop.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, old))
    shop.run_as_airflow()
    assert shop.value("select count(*) from core.orders") == 0
    shop.change_store("Acme US", import_since=datetime.now(UTC) - timedelta(days=90))

    shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None


def test_order_is_not_invoiced_when_amazon_canceled_it_meanwhile(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500"))
    shop.run_as_airflow()
    shop.sandbox.amazon.apply(A, CANCELED)
    shop.pass_time(hours=1)

    shop.run_as_airflow()

    (order,) = shop.sandbox.commerce.orders()
    assert not Decimal(str(order.get("total_invoiced") or 0))
    assert shop.shown(A).status == "Canceled"
    assert f"Commerce order {order['increment_id']} was canceled" in shop.shown(A).order_notes


def test_order_is_created_when_amazon_changes_it_during_validation(shop: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.buy(A, TRAY, status="PENDING")
    shop.pass_time(minutes=10)
    shop.run_number += 1
    shop.stage_stores()
    shop.extract_amazon_orders()
    shop.stage_amazon_orders()
    real = validate_orders.ask_shops

    def ask(*arguments: object) -> object:
        monkeypatch.setattr(validate_orders, "ask_shops", real)
        shop.sandbox.amazon.apply(A, {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}})
        shop.pass_time(minutes=10)
        shop.extract_amazon_orders()
        shop.stage_amazon_orders()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(validate_orders, "ask_shops", ask)
    shop.validate_orders()

    shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None


def test_doubt_is_resolved_when_the_shops_catalog_is_down(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    shop.run_as_airflow()
    shop.buy(B, TRAY)
    shop.sandbox.commerce_faults.add(Fault("searchProducts", "html_500", times=9))

    shop.run_as_airflow()

    assert shop.shown(A).commerce_order_number is not None
    assert "could not be asked" in shop.shown(B).order_notes


def test_amazon_shows_the_right_track_when_it_is_added_before_the_wrong_one_is_deleted(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.run_as_airflow()
    shipment_id = shop.sandbox.commerce.ship(A, None, [("ups", "UPS", "1ZWRONG")])
    shop.shipments_run()
    shop.sandbox.commerce.add_track(shipment_id, ("ups", "UPS", "1ZRIGHT"))
    shop.pass_time(minutes=10)
    shop.shipments_run()
    with shop.sandbox.commerce.lock:
        shop.sandbox.commerce.shipment(shipment_id)["tracks"].pop(0)
    for _ in range(3):
        shop.pass_time(minutes=10)
        shop.shipments_run()
    assert [package["trackingNumber"] for package in shop.sandbox.amazon.order(A)["packages"]] == ["1ZRIGHT"]


def test_amazon_shows_the_right_track_when_it_is_corrected_after_the_order_was_completed(shop: Road) -> None:
    shop.buy(A, TRAY)
    shop.run_as_airflow()
    shipment_id = shop.sandbox.commerce.ship(A, None, [("ups", "UPS", "1ZWRONG")])
    for _ in range(2):
        shop.shipments_run()
        shop.run_as_airflow()
    shop.run_as_airflow()
    assert shop.shown(A).status == "Completed"
    with shop.sandbox.commerce.lock:
        shop.sandbox.commerce.shipment(shipment_id)["tracks"][0]["track_number"] = "1ZRIGHT"
    for _ in range(3):
        shop.pass_time(minutes=10)
        shop.shipments_run()
    assert [package["trackingNumber"] for package in shop.sandbox.amazon.order(A)["packages"]] == ["1ZRIGHT"]
