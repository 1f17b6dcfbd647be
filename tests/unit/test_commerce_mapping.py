"""Amazon orders become Commerce's order documents: identity and money."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.domain.errors import MalformedOrderError
from include.domain.marketplaces import MARKETPLACES
from include.domain.orders import Order
from tests.support.commerce_entities import AMAZON_ORDER_ID, DE, JP, US, comment, entity, leaves, line, order

# Identity


def test_order_names_its_amazon_order_when_numbers_come_from_commerce() -> None:
    document = entity(order(line(), total="10.00"))
    assert document["ext_order_id"] == AMAZON_ORDER_ID
    assert "increment_id" not in document
    assert document["payment"]["method"] == "purchaseorder"
    assert document["payment"]["po_number"] == AMAZON_ORDER_ID
    assert document["items"][0]["ext_order_item_id"] == "item-1"
    assert (document["state"], document["status"], document["store_id"]) == ("new", "pending", 1)


def test_increment_id_is_the_amazon_order_id_when_numbers_come_from_amazon() -> None:
    document = entity(order(line(), total="10.00"), order_number_source="amazon", order_number_prefix="AMZ-")
    assert document["increment_id"] == f"AMZ-{AMAZON_ORDER_ID}"


@pytest.mark.parametrize(
    ("amazon_order_id", "prefix"), [("S01-" + "1" * 29, ""), ("S01-" + "1" * 28, "P" * 19)], ids=["ext", "increment"]
)
def test_order_is_refused_when_an_id_is_too_long(amazon_order_id: str, prefix: str) -> None:
    amazon_order = order(line(), total="10.00", amazon_order_id=amazon_order_id)
    with pytest.raises(MalformedOrderError, match="longer than"):
        entity(amazon_order, order_number_source="amazon", order_number_prefix=prefix)


def test_sku_is_replaced_when_the_store_maps_it() -> None:
    item = entity(order(line(9), total="10.00"))["items"][0]
    assert (item["sku"], item["product_id"]) == ("MUG", 7)


def test_mails_are_turned_off_when_an_order_is_built() -> None:
    document = entity(order(line(), total="10.00"))
    assert document["email_sent"] == 0
    assert document["customer_note_notify"] == 0
    assert document["status_histories"][0]["is_customer_notified"] == 0


@pytest.mark.parametrize(
    "amazon_order",
    [
        order(line(), total=None),
        order(line(), total="10.00", currency=None),
        order(line(), total="10.00", currency="EUR"),
        order(line(ordered_qty=0), total="10.00"),
    ],
    ids=["no_total", "no_currency", "other_currency", "no_units"],
)
def test_order_is_refused_when_it_cannot_become_a_commerce_order(amazon_order: Order) -> None:
    with pytest.raises(MalformedOrderError, match=AMAZON_ORDER_ID) as caught:
        entity(amazon_order)
    assert caught.value.findings


# Money


def test_tax_is_added_to_the_totals_when_prices_exclude_it() -> None:
    bought = line(
        ordered_qty=3,
        item_amount=Decimal("10.00"),
        shipping_amount=Decimal("4.00"),
        tax_amount=Decimal("0.80"),
        discount_amount=Decimal("1.00"),
    )
    document = entity(order(bought, total="13.80"))
    assert document["grand_total"] == document["base_grand_total"] == document["total_due"] == Decimal("13.80")
    assert document["subtotal"] == Decimal("10.00")
    assert document["shipping_amount"] == Decimal("4.00")
    assert document["tax_amount"] == Decimal("0.80")
    assert document["discount_amount"] == Decimal("-1.00")
    item = document["items"][0]
    assert item["price"] == Decimal("3.3333")
    assert item["row_total"] == Decimal("10.00")
    assert item["row_total_incl_tax"] == Decimal("10.80")
    assert item["discount_amount"] == Decimal("1.00")
    assert document["weight"] == Decimal("1.5")


def test_tax_is_taken_out_of_the_prices_when_they_include_it() -> None:
    bought = line(item_amount=Decimal("100.00"), shipping_amount=Decimal("19.00"), tax_amount=Decimal("19.00"))
    document = entity(order(bought, total="119.00", currency="EUR"), marketplace_id=DE)
    assert document["items"][0]["row_total_incl_tax"] == Decimal("100.00")
    assert document["items"][0]["row_total"] == Decimal("84.03")
    assert document["items"][0]["tax_amount"] == Decimal("15.97")
    assert document["shipping_incl_tax"] == Decimal("19.00")
    assert document["shipping_amount"] == Decimal("15.97")
    assert document["shipping_tax_amount"] == Decimal("3.03")
    assert document["subtotal"] + document["shipping_amount"] + document["tax_amount"] == Decimal("119.00")
    assert "differs" not in comment(document)


def test_other_reading_of_the_tax_is_used_when_only_that_one_adds_up() -> None:
    bought = line(item_amount=Decimal("100.00"), tax_amount=Decimal("19.00"))
    included = entity(order(bought, total="100.00"))
    assert included["items"][0]["row_total"] == Decimal("81.00")
    added = entity(order(bought, total="119.00", currency="EUR"), marketplace_id=DE)
    assert added["items"][0]["row_total"] == Decimal("100.00")
    assert "differs" not in comment(included) + comment(added)


def test_difference_is_in_the_comment_when_no_reading_of_the_tax_adds_up() -> None:
    document = entity(order(line(tax_amount=Decimal("0.80")), total="25.00"))
    assert document["grand_total"] == Decimal("25.00")
    assert document["subtotal"] == Decimal("10.00")
    assert "differs from its lines by 14.20 USD" in comment(document)


def test_tax_is_in_the_grand_total_only_when_the_store_takes_no_tax() -> None:
    document = entity(order(line(tax_amount=Decimal("0.80")), total="10.80"), is_amazon_tax_used=False)
    assert document["grand_total"] == Decimal("10.80")
    assert document["tax_amount"] == document["items"][0]["tax_amount"] == 0
    assert document["items"][0]["row_total"] == Decimal("10.00")
    assert "tax of 0.80 USD is in the grand total only" in comment(document)
    assert "differs" not in comment(document)


def test_gift_wrap_and_fees_are_added_to_shipping_when_there_are_any() -> None:
    bought = line(shipping_amount=Decimal("4.00"), gift_wrap_amount=Decimal("3.00"), other_amount=Decimal("1.50"))
    document = entity(order(bought, total="18.50"))
    assert document["shipping_amount"] == Decimal("8.50")
    assert "3.00 USD for gift wrap" in comment(document)
    assert "1.50 USD of other charges" in comment(document)


def test_difference_is_in_the_comment_when_a_charge_is_negative() -> None:
    document = entity(order(line(shipping_amount=Decimal("4.00"), other_amount=Decimal("-1.50")), total="12.50"))
    assert document["shipping_amount"] == Decimal("4.00")
    assert "differs from its lines by -1.50 USD" in comment(document)


def test_rest_of_the_discount_goes_to_shipping_when_it_is_more_than_the_goods() -> None:
    bought = line(item_amount=Decimal("3.00"), shipping_amount=Decimal("6.00"), discount_amount=Decimal("6.00"))
    document = entity(order(bought, total="3.00"))
    assert document["items"][0]["discount_amount"] == Decimal("3.00")
    assert document["shipping_discount_amount"] == Decimal("3.00")
    assert document["discount_amount"] == Decimal("-6.00")


def test_grand_total_is_zero_when_a_replacement_costs_nothing() -> None:
    free = line(item_amount=Decimal("0.00"), tax_amount=Decimal("0.00"))
    document = entity(order(free, total="0.00", replaced_amazon_order_id="111-0000000-0000000"))
    assert document["grand_total"] == 0
    assert document["items"][0]["price"] == 0
    assert "Replaces Amazon order 111-0000000-0000000" in comment(document)


def test_subtotal_is_computed_when_amazon_gives_unit_prices_only() -> None:
    bought = line(ordered_qty=2, item_amount=None, unit_price_amount=Decimal("5.25"))
    assert entity(order(bought, total="10.50"))["subtotal"] == Decimal("10.50")


def test_line_is_left_out_when_it_has_no_units() -> None:
    document = entity(order(line(1), line(2, ordered_qty=0, item_amount=None), total="10.00"))
    assert [item["ext_order_item_id"] for item in document["items"]] == ["item-1"]
    assert document["total_qty_ordered"] == 1


cents = st.integers(0, 500_00).map(lambda amount: Decimal(amount).scaleb(-2))
yen = st.integers(0, 50_000).map(Decimal)


@st.composite
def priced_orders(draw: st.DrawFn) -> tuple[Order, str, bool]:
    """An order, its marketplace, and whether it takes Amazon's tax; the grand total adds up one way or not at all."""
    marketplace_id, currency, money = draw(st.sampled_from([(US, "USD", cents), (DE, "EUR", cents), (JP, "JPY", yen)]))
    lines = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        item = draw(money)
        lines.append(
            line(
                number,
                ordered_qty=draw(st.integers(1, 9)),
                item_amount=item,
                shipping_amount=draw(st.none() | money),
                gift_wrap_amount=draw(st.none() | money),
                other_amount=draw(st.none() | money | money.map(lambda amount: -amount)),
                tax_amount=draw(st.none() | money.map(lambda tax, most=item: min(tax, most))),
                discount_amount=draw(st.none() | money),
            )
        )
    gross = sum(
        (each.item_amount or 0)
        + (each.shipping_amount or 0)
        + (each.gift_wrap_amount or 0)
        + (each.other_amount or 0)
        - (each.discount_amount or 0)
        for each in lines
    )
    tax = sum(each.tax_amount or 0 for each in lines)
    total = draw(st.sampled_from([Decimal(gross), Decimal(gross + tax)]) | money)
    bought = order(*lines, total=str(total), currency=currency)
    return bought, marketplace_id, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(priced_orders())
def test_totals_are_consistent_when_amounts_are_random(case: tuple[Order, str, bool]) -> None:
    bought, marketplace_id, is_tax_used = case
    document = entity(bought, marketplace_id=marketplace_id, is_amazon_tax_used=is_tax_used)
    items = document["items"]
    assert document["grand_total"] == bought.grand_total_amount
    assert document["total_due"] == bought.grand_total_amount
    assert document["subtotal"] == sum(item["row_total"] for item in items)
    assert document["tax_amount"] == sum(item["tax_amount"] for item in items) + document["shipping_tax_amount"]
    discounts = sum(item["discount_amount"] for item in items) + document["shipping_discount_amount"]
    assert document["discount_amount"] == -discounts
    assert discounts == sum(each.discount_amount or 0 for each in bought.lines)
    assert document["shipping_incl_tax"] == document["shipping_amount"] + document["shipping_tax_amount"]
    for item in items:
        assert item["row_total_incl_tax"] - item["row_total"] == item["tax_amount"]
        assert abs(item["price"] * item["qty_ordered"] - item["row_total"]) <= Decimal("0.001")
    for name, value in {**document, **{f"item.{key}": value for item in items for key, value in item.items()}}.items():
        prefix, _, field = name.rpartition(".")
        if field.startswith("base_") and not field.startswith("base_to_") and field != "base_currency_code":
            source = items[-1] if prefix else document
            assert value == source[field.removeprefix("base_")]
    assert not [path for path, value in leaves(document) if isinstance(value, float)]

    # What the parts miss is exactly what the comment says.
    parts = document["subtotal"] + document["shipping_amount"] + document["tax_amount"] + document["discount_amount"]
    told = re.findall(r"(?:Amazon's tax of|differs from its lines by) (\S+) ", comment(document))
    assert bought.grand_total_amount - parts == sum(map(Decimal, told))


@settings(max_examples=200, deadline=None)
@given(priced_orders())
def test_totals_add_up_without_a_difference_when_amounts_follow_amazons_convention(
    case: tuple[Order, str, bool],
) -> None:
    bought, marketplace_id, _ = case
    lines = tuple(replace(each, other_amount=abs(each.other_amount or Decimal(0))) for each in bought.lines)
    total = sum(
        (each.item_amount or 0)
        + (each.shipping_amount or 0)
        + (each.gift_wrap_amount or 0)
        + (each.other_amount or 0)
        - (each.discount_amount or 0)
        + (0 if MARKETPLACES[marketplace_id].prices_include_tax else each.tax_amount or 0)
        for each in lines
    )
    document = entity(replace(bought, lines=lines, grand_total_amount=Decimal(total)), marketplace_id=marketplace_id)
    parts = document["subtotal"] + document["shipping_amount"] + document["tax_amount"] + document["discount_amount"]
    assert parts == total
    assert "differs" not in comment(document)
