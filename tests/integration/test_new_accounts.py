"""An account for each buyer (`customer: new_account`): made once, without a mail, and reused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from include.adapters.commerce.address import AddressPlaceholders
from include.adapters.commerce.catalog import store_view
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.customers import customer_of
from include.domain.contacts import Buyer, Contact
from include.steps import create_commerce_orders, validate_orders
from local.sandbox.commerce import routes
from local.sandbox.commerce.customers import save_customer
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import Fault
from local.sandbox.seeds import AmazonOrderSeed, StoreView
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER = order_id(1), order_id(2)
EMAIL = MARKERS["buyerEmail"]


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    road.change_store("Acme US", customer="new_account")
    return road


def sell(road: Road, amazon_order_id: str = ORDER, **buyer: str) -> None:
    document = amazon_order(amazon_order_id, {"TRAY-WALNUT": 1}, at=road.sandbox.clock.now())
    document["buyer"] |= buyer
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))


def in_shop(road: Road, amazon_order_id: str = ORDER) -> Any:
    (order,) = road.sandbox.commerce.order_by_ext_id(amazon_order_id)
    return order


def the_customer(road: Road) -> Any:
    (customer,) = road.sandbox.commerce.customers()
    return customer


def test_account_is_made_without_a_mail_and_reused_when_the_buyer_orders_again(road: Road) -> None:
    sell(road)
    road.next_run()
    customer = the_customer(road)
    assert (customer["email"], customer["firstname"], customer["lastname"]) == (EMAIL, "Marker", "Kwzbuyername")
    assert (customer["website_id"], customer["store_id"], customer["addresses"]) == (1, 1, [])
    order = in_shop(road)
    assert (order["customer_id"], order["customer_is_guest"], order["customer_email"]) == (customer["id"], 0, EMAIL)

    sell(road, OTHER, buyerEmail=EMAIL.upper())
    road.next_run()
    assert in_shop(road, OTHER)["customer_id"] == the_customer(road)["id"]
    assert road.sandbox.commerce.mails == []
    assert road.sandbox.commerce_faults.calls["createAccount"] == 0, "it would send a mail"
    for table, rows in road.dump().items():
        if not table.startswith("pii."):
            assert "kwz" not in repr(rows).casefold(), table


def test_name_is_split_at_the_first_space_and_completed_when_a_part_is_missing(road: Road) -> None:
    sell(road, buyerName="Ada Mary Lovelace", buyerEmail="ada@example.com")
    sell(road, OTHER, buyerName="Cher", buyerEmail="cher@example.com")
    road.next_run()
    names = {one["email"]: (one["firstname"], one["lastname"]) for one in road.sandbox.commerce.customers()}
    assert names == {"ada@example.com": ("Ada", "Mary Lovelace"), "cher@example.com": ("Cher", "Customer")}


def test_customer_of_the_shop_is_reused_when_one_has_the_address_already(road: Road) -> None:
    road.sandbox.commerce.add_customer(email=EMAIL, firstname="A", lastname="B", website_id=2)
    road.sandbox.commerce.add_customer(email=EMAIL, firstname="A", lastname="B", website_id=1)
    sell(road)
    road.next_run()
    assert in_shop(road)["customer_id"] == road.sandbox.commerce.customers()[1]["id"]
    assert len(road.sandbox.commerce.customers()) == 2


def test_account_of_another_website_is_used_when_the_shops_websites_share_them(road: Road) -> None:
    road.sandbox.commerce.seed = replace(road.sandbox.commerce.seed, shares_customers=True)
    road.sandbox.commerce.add_customer(email=EMAIL, firstname="A", lastname="B", website_id=2)
    sell(road)
    road.next_run()
    assert in_shop(road)["customer_id"] == the_customer(road)["id"]


@pytest.mark.parametrize("email", ["", "withheld", "half\ud800pair@marketplace.amazon.com"])
def test_order_is_a_guests_when_amazon_gives_no_address_that_fits(road: Road, email: str) -> None:
    sell(road, buyerEmail=email)
    road.next_run()
    order = in_shop(road)
    assert (order["customer_is_guest"], order["customer_email"]) == (1, f"{ORDER}@amazon.invalid")
    assert road.sandbox.commerce.customers() == []


@pytest.mark.parametrize("kind", ["lost_reply", "dropped", "html_500", "broken_json"])
def test_one_account_is_made_when_the_answer_is_lost(road: Road, kind: Any) -> None:
    road.sandbox.commerce_faults.add(Fault("createCustomer", kind))
    sell(road)
    for _ in range(3):
        road.run_as_airflow()
    assert in_shop(road)["customer_id"] == the_customer(road)["id"]
    assert len(road.sandbox.commerce.orders()) == 1
    assert road.sandbox.commerce.mails == []


class Killed(BaseException):
    """Ends the step as a kill does."""


def test_one_account_is_made_when_the_worker_is_killed_after_it(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    make = CommerceClient.create_customer

    def make_and_die(client: CommerceClient, *arguments: Any, **options: Any) -> int:
        make(client, *arguments, **options)
        raise Killed

    sell(road)
    monkeypatch.setattr(CommerceClient, "create_customer", make_and_die)
    with suppress(Killed):
        road.next_run()
    assert road.sandbox.commerce.orders() == []
    monkeypatch.undo()
    road.next_run()
    assert in_shop(road)["customer_id"] == the_customer(road)["id"]


def test_one_account_is_made_when_several_workers_make_it_at_once(road: Road) -> None:
    (store, _) = road.stores.all()
    road.stage_stores()

    def work(number: int) -> int | None:
        with replace(road) as copy:
            view = store_view(copy.shop, store)
            contact = Contact(buyer=Buyer(name="Ada Lovelace", email=f"ada{number // 4}@example.com"))
            placeholders = AddressPlaceholders.from_settings(copy.settings)
            return customer_of(copy.shop, store, view, contact, placeholders, amazon_order_id=ORDER, is_dry_run=False)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(12)))
    assert len(road.sandbox.commerce.customers()) == len(set(found)) == 3


def test_order_is_blocked_with_the_reason_when_the_shop_makes_no_account(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(state: CommerceState, customer_id: int, given: Any, view: StoreView | None) -> Any:
        if given["email"] == EMAIL:
            raise CommerceRefusal(
                400, f'"dob" is a required value. "{EMAIL}" is on the list of buyers without accounts.'
            )
        return save_customer(state, customer_id, given, view)

    monkeypatch.setattr(routes, "save_customer", refuse)
    sell(road)
    sell(road, OTHER, buyerEmail="ada@example.com")
    road.next_run()
    shown = road.shown(ORDER)
    assert shown.blocker_codes == ["rejected_by_commerce"]
    assert "Commerce refused the order: it makes no account of the buyer (" in shown.order_notes
    assert "kwz" not in shown.order_notes
    assert in_shop(road, OTHER)["customer_is_guest"] == 0, "the others go on"
    road.change_store("Acme US", customer="guest")
    road.pass_time(minutes=30)
    road.next_run()
    assert in_shop(road)["customer_is_guest"] == 1


def test_no_account_is_made_when_the_run_is_dry(road: Road) -> None:
    sell(road)
    road.pass_time(minutes=10)
    road.stage_stores()
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    stamp: dict[str, Any] = {"dag_run_id": road.run_id, "is_dry_run": True}
    validate_orders.run(road.engine, road.commerce, road.stores, road.settings, now=road.now(), **stamp)
    create_commerce_orders.run(
        road.engine, road.commerce, road.cipher, "acme-na", road.stores, road.settings, clock=road.now, **stamp
    )
    assert road.value("select action from ops.dry_run_results") == "create"
    assert road.sandbox.commerce.customers() == []
