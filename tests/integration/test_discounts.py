"""Amazon's discounts on goods, shipping and gift wrap, from its document to the Commerce order and its invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


def discount(subtotal: str, **parts: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "DISCOUNT", "subtotal": money(subtotal)}
    if parts:
        details = [{"subtype": subtype, "value": money(amount)} for subtype, amount in parts.items()]
        entry["detailedBreakdowns"] = details
    return entry


def buy(road: Road, number: int, total: str, *discounts: dict[str, Any]) -> None:
    """An order of 20.00 with 5.00 for shipping and 3.00 for gift wrap."""
    order = amazon_order(order_id(number), {"TRAY-WALNUT": 1}, unit_price="20.00", at=road.sandbox.clock.now())
    order["proceeds"] = {"grandTotal": money(total)}
    charges = [("ITEM", "20.00"), ("SHIPPING", "5.00"), ("GIFT_WRAP", "3.00")]
    order["orderItems"][0]["proceeds"] = {
        "proceedsTotal": money(total),
        "breakdowns": [*({"type": kind, "subtotal": money(amount)} for kind, amount in charges), *discounts],
    }
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, order))


# On the goods, on shipping and gift wrap together, what is invoiced: of 28.00, by the discounts that Amazon gives.
CASES = [
    ("23.00", [discount("-5.00", SHIPPING="-5.00")], "0", "5.00"),  # free shipping
    ("23.00", [discount("5.00", SHIPPING="5.00")], "0", "5.00"),  # the sign is not documented
    ("20.00", [discount("-8.00", SHIPPING="-5.00", GIFT_WRAP="-3.00")], "0", "8.00"),
    ("21.00", [discount("-2.00", ITEM="-2.00"), discount("-5.00", SHIPPING="-5.00")], "2.00", "5.00"),
    ("24.00", [discount("-4.00", ITEM="-1.00", SHIPPING="-3.00")], "1.00", "3.00"),
    ("24.00", [discount("-4.00")], "4.00", "0"),  # no part is named
    ("24.00", [discount("-4.00", SHIPPING="-1.00")], "3.00", "1.00"),  # a part is not named
    ("24.00", [discount("-4.00", NEW_KIND="-4.00")], "4.00", "0"),
    ("27.50", [discount("-0.50", OTHER="-0.50")], "0", "0.50"),
    ("24.00", [discount("-4.00", SHIPPING="-9.00")], "0", "4.00"),  # parts that are more than the whole
]


def test_discounts_are_where_amazon_gave_them_when_orders_are_created(road: Road) -> None:
    road.with_account("acme-na")
    for number, (total, discounts, _, _) in enumerate(CASES):
        buy(road, number, total, *discounts)
    assert road.run_as_airflow() == []
    for number, (total, _, on_goods, on_charges) in enumerate(CASES):
        (made,) = road.sandbox.commerce.order_by_ext_id(order_id(number))
        (item,) = made["items"]
        for prefix in ("", "base_"):
            assert item[f"{prefix}discount_amount"] == Decimal(on_goods), CASES[number]
            assert made[f"{prefix}shipping_discount_amount"] == Decimal(on_charges), CASES[number]
            assert made[f"{prefix}discount_amount"] == -Decimal(on_goods) - Decimal(on_charges), CASES[number]
            assert made[f"{prefix}shipping_amount"] == 8
        assert made["grand_total"] == made["total_invoiced"] == Decimal(total), CASES[number]
        assert "differs" not in made["status_histories"][0]["comment"]
        assert road.shown(order_id(number)).order_notes.startswith("Created in Commerce")
    assert not road.rows("select * from core.orders where has_total_mismatch")


def test_note_names_both_totals_when_the_shop_stores_another_one(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the shop that takes its own discount from what it is given."""
    real = type(road.sandbox.commerce).create_order

    def create(state: Any, entity: Any, view: Any) -> Any:
        return real(state, entity | {"grand_total": 27}, view)

    monkeypatch.setattr(type(road.sandbox.commerce), "create_order", create)
    road.with_account("acme-na")
    buy(road, 1, "28.00")
    road.run_as_airflow()
    assert "has the total 27, Amazon's is 28." in road.shown(order_id(1)).order_notes
