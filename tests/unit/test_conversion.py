"""Amounts in another currency: not a coin is lost, whatever the rate."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.domain.errors import MalformedOrderError
from include.domain.money import ExchangeRate
from tests.support.commerce_entities import DE, US, comment, entity, line, order

RATES = st.decimals("0.0000000001", "200", places=10)
AMOUNTS = st.decimals("0", "500", places=2)


def rate(value: str | Decimal, source: str = "EUR", target: str = "USD") -> ExchangeRate:
    return ExchangeRate(source, target, date(2026, 11, 2), Decimal(value), "ECB")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.decimals("-500", "500", places=2), max_size=40), RATES, st.sampled_from(["USD", "JPY"]))
def test_parts_add_up_to_the_converted_sum_when_they_are_converted(
    parts: list[Decimal], value: Decimal, target: str
) -> None:
    found = rate(value, target=target)
    coin = Decimal(1) if target == "JPY" else Decimal("0.01")
    converted = found.convert_parts(parts)
    assert sum(converted) == found.convert(sum(parts, Decimal(0)))
    for before, after in zip(parts, converted, strict=True):
        assert abs(before * value - after) < coin
        assert after == after.quantize(coin)
        assert before or not after


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, st.booleans()), min_size=1, max_size=6), RATES, st.booleans())
def test_lines_add_up_to_the_grand_total_when_an_order_is_converted(
    bought: list[tuple[Decimal, Decimal, Decimal, bool]], value: Decimal, is_inclusive: bool
) -> None:
    lines = [
        line(
            number,
            ordered_qty=3,
            item_amount=item,
            shipping_amount=shipping,
            tax_amount=min(tax, item / 4).quantize(Decimal("0.01")),
            discount_amount=item + shipping if is_free else None,
            shipping_discount_amount=shipping if is_free else None,
        )
        for number, (item, shipping, tax, is_free) in enumerate(bought, start=1)
    ]
    paid = sum((each.item_amount or 0) + (each.shipping_amount or 0) - (each.discount_amount or 0) for each in lines)
    total = paid + (0 if is_inclusive else sum(each.tax_amount or 0 for each in lines))
    currency, target, marketplace = ("EUR", "USD", DE) if is_inclusive else ("USD", "EUR", US)
    view = {"base_currency": target}
    found = rate(value, currency, target)
    document = entity(
        order(*lines, total=str(total), currency=currency), marketplace_id=marketplace, rate=found, **view
    )
    assert document["grand_total"] == document["total_due"] == found.convert(Decimal(total))
    assert document["grand_total"] == (
        document["subtotal"] + document["shipping_amount"] + document["tax_amount"] + document["discount_amount"]
    )
    assert document["order_currency_code"] == document["base_currency_code"] == target
    assert "differs" not in comment(document)
    items = document["items"]
    assert document["subtotal"] == sum(item["row_total"] for item in items)
    for item in items:
        assert 0 <= item["discount_amount"] <= item["row_total_incl_tax"]
    assert document["shipping_discount_amount"] <= document["shipping_incl_tax"]


def test_comment_names_total_rate_day_and_source_when_an_order_is_converted() -> None:
    bought = order(line(), total="10.00", currency="EUR")
    document = entity(bought, marketplace_id=DE, rate=rate("1.08340"), base_currency="USD")
    assert document["grand_total"] == Decimal("10.83")
    expected = "Converted from 10 EUR at 1.0834 USD for 1 EUR, the rate of 2026-11-02 by ECB."
    assert comment(document).startswith(expected)


def test_order_is_refused_when_the_rate_is_for_another_currency() -> None:
    with pytest.raises(MalformedOrderError, match="base currency GBP"):
        entity(order(line(), total="10.00", currency="EUR"), marketplace_id=DE, rate=rate("1"), base_currency="GBP")
