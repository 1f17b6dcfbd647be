"""Every order setting of a store and what it does in Commerce, one row each; a new setting has to add its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from include.domain.stores import FixedCustomer, OrderSettings
from local.sandbox.seeds import AmazonOrderSeed, StoreView
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY = "TRAY-WALNUT"
FBA = {"status": "SHIPPED", "fulfilled_by": "AMAZON"}
FIXED = "amazon@shop.example"
RATE = text(
    "insert into reporting.exchange_rates values ('GBP', 'USD', cast(:now as date) - 1, 2, 'ECB', :now, 'test')"
)


@dataclass(frozen=True)
class Row:
    """Two values of a setting, and what `look` finds of the same order in Commerce with each. None: no order."""

    setting: str
    values: tuple[Any, Any]
    look: Callable[[Any], Any]
    found: tuple[Any, Any]
    more: dict[str, Any] = field(default_factory=dict)  # other settings that it needs
    order: dict[str, Any] = field(default_factory=dict)
    qty: int = 1


def exists(order: Any) -> bool:
    return True


ROWS = [
    Row("is_import_enabled", (True, False), exists, (True, None)),
    Row("import_since", (datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)), exists, (True, None)),
    Row("customer", ("guest", "new_account"), lambda order: order["customer_is_guest"], (1, 0)),
    Row(
        "customer",
        ("new_account", FixedCustomer(FIXED)),
        lambda order: order["customer_email"],
        (MARKERS["buyerEmail"], FIXED),
    ),
    Row("order_number_source", ("commerce", "amazon"), lambda order: order["increment_id"], ("000000001", ORDER)),
    Row(
        "order_number_prefix",
        ("", "AMZ-"),
        lambda order: order["increment_id"],
        (ORDER, f"AMZ-{ORDER}"),
        more={"order_number_source": "amazon"},
    ),
    Row(
        "processing_status",
        (None, "amazon_new"),
        lambda order: (order["state"], order["status"]),
        (("processing", "processing"), ("processing", "amazon_new")),
    ),
    Row("are_amazon_fulfilled_imported", (True, False), exists, (True, None), order=FBA),
    Row("must_amazon_fulfilled_be_in_stock", (False, True), exists, (True, None), order=FBA, qty=10_000),
    Row("amazon_fulfilled_store_view", (None, "us_fba"), lambda order: order["store_id"], (1, 9), order=FBA),
    Row("amazon_fulfilled_store_view", (None, "us_fba"), lambda order: order["store_id"], (1, 1)),
    Row("are_pending_reserved", (False, True), exists, (True, None), qty=9_990),
    Row(
        "is_currency_converted",
        (False, True),
        lambda order: (order["base_currency_code"], order["grand_total"]),
        (None, ("USD", Decimal("21.66"))),
        order={"currency": "GBP"},
    ),
    Row("is_amazon_tax_used", (True, False), lambda order: order["tax_amount"], (Decimal("0.83"), Decimal(0))),
]


def test_every_setting_has_a_row_when_the_model_knows_it() -> None:
    of_shipments = {"are_untracked_shipments_flagged"}  # test_shipment_findings.py
    assert {row.setting for row in ROWS} | of_shipments == {setting.name for setting in fields(OrderSettings)}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.setting)
def test_order_in_commerce_changes_when_the_setting_does(road: Road, row: Row, place: int) -> None:
    shop = road.sandbox.commerce
    view = StoreView(store_id=9, code="us_fba", name="Acme US, FBA", website_id=1, base_currency="USD")
    shop.seed = replace(shop.seed, store_views=(*shop.seed.store_views, view))
    shop.set_quantity(TRAY, 1, Decimal(9_995))
    shop.add_customer(email=FIXED, firstname="Amazon", lastname="Orders", website_id=1)
    road.with_account("acme-na")
    road.change_store("Acme US", **row.more | {row.setting: row.values[place]})
    road.buy(order_id(2), {TRAY: 10}, status="PENDING")
    road.pass_time(minutes=1)
    document = amazon_order(ORDER, {TRAY: row.qty}, at=road.sandbox.clock.now(), **row.order)
    add_tax(document, "0.83")
    with road.engine.begin() as connection:
        connection.execute(RATE, {"now": road.now()})
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.next_run()
    orders = shop.order_by_ext_id(ORDER)
    assert (row.look(orders[0]) if orders else None) == row.found[place]
    assert shop.mails == []


def add_tax(document: dict[str, Any], amount: str) -> None:
    (item,) = document["orderItems"]
    currency = document["proceeds"]["grandTotal"]["currencyCode"]
    item["proceeds"]["breakdowns"].append({"type": "TAX", "subtotal": {"amount": amount, "currencyCode": currency}})
    total = Decimal(document["proceeds"]["grandTotal"]["amount"]) + Decimal(amount)
    document["proceeds"]["grandTotal"] = item["proceeds"]["proceedsTotal"] = {
        "amount": str(total),
        "currencyCode": currency,
    }
