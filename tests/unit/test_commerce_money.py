"""Every order's money, from Amazon's lines to Commerce's invoice: random orders, and discounts by what they are on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from include.domain.marketplaces import MARKETPLACES
from include.domain.orders import Order, OrderLine
from local.sandbox.commerce.orders import invoice, new_order, quantities_to_invoice
from tests.support.commerce_entities import DE, JP, US, comment, entity, line, order, shipping

# More by hand: MONEY_EXAMPLES=50000 python -m pytest tests/unit/test_commerce_money.py
EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "2000"))
KINDS = ("item", "shipping", "gift_wrap", "other")


def d(text: str) -> Decimal:
    return Decimal(text)


def created(document: dict[str, Any]) -> dict[str, Any]:
    """The order as the local Commerce has it when it is invoiced."""
    numbers = itertools.count(1)
    made = new_order(document, lambda kind: next(numbers), "2026-11-01 00:00:00")
    invoice(made, quantities_to_invoice(made, None), "2026-11-01 00:00:00")
    return made


def test_discount_is_on_shipping_when_amazon_ships_for_free() -> None:
    free = line(
        item_amount=d("20.00"), shipping_amount=d("5.00"), discount_amount=d("5.00"), shipping_discount_amount=d("5.00")
    )
    document = entity(order(free, total="20.00"))
    assert document["items"][0]["discount_amount"] == document["items"][0]["base_discount_amount"] == 0
    for part in (document, shipping(document)["total"]):
        assert part["shipping_amount"] == d("5.00")
        assert part["shipping_discount_amount"] == part["base_shipping_discount_amount"] == d("5.00")
    assert document["discount_amount"] == document["base_discount_amount"] == d("-5.00")
    assert created(document)["total_invoiced"] == d("20.00")
    assert "differs" not in comment(document)


def test_each_discount_is_where_it_belongs_when_a_line_has_several() -> None:
    bought = line(
        item_amount=d("20.00"), shipping_amount=d("5.00"), gift_wrap_amount=d("3.00"), other_amount=d("1.00"),
        discount_amount=d("7.50"), shipping_discount_amount=d("2.00"), gift_wrap_discount_amount=d("3.00"),
        other_discount_amount=d("0.50"),
    )  # fmt: skip
    document = entity(order(bought, total="21.50"))
    assert document["items"][0]["discount_amount"] == d("2.00")
    assert document["shipping_discount_amount"] == d("5.50")
    assert "Shipping discount includes 3.00 USD for gift wrap." in comment(document)
    assert created(document)["total_invoiced"] == d("21.50")


def test_free_shipping_carries_no_tax_when_prices_include_it() -> None:
    free = line(item_amount=d("119.00"), shipping_amount=d("5.00"), tax_amount=d("19.00"),
                discount_amount=d("5.00"), shipping_discount_amount=d("5.00"))  # fmt: skip
    document = entity(order(free, total="119.00", currency="EUR"), marketplace_id=DE)
    assert document["items"][0]["row_total"] == d("100.00")
    assert (document["shipping_amount"], document["shipping_tax_amount"]) == (d("5.00"), 0)
    assert created(document)["total_invoiced"] == d("119.00")


def test_discount_goes_to_the_goods_when_it_is_more_than_the_charges() -> None:
    odd = line(
        item_amount=d("20.00"), shipping_amount=d("2.00"), discount_amount=d("5.00"), shipping_discount_amount=d("9.00")
    )
    document = entity(order(odd, total="17.00"))
    assert document["items"][0]["discount_amount"] == d("3.00")
    assert document["shipping_discount_amount"] == d("2.00")
    assert created(document)["total_invoiced"] == d("17.00")


def amazon_order(chance: Random) -> tuple[Order, str, bool, bool]:
    """An order, its marketplace, whether its store takes Amazon's tax, and whether Amazon's amounts are sound.

    Sound amounts follow the marketplace's convention: the grand total is what the lines come to. Others do anything.
    """
    marketplace_id, currency = chance.choice([(US, "USD"), (DE, "EUR"), (JP, "JPY")])
    is_sound, is_tax_used = chance.random() < 0.6, chance.random() < 0.6
    exponent = 0 if currency == "JPY" else -2

    def money(most: int | Decimal) -> Decimal:
        units = max(int(Decimal(most).scaleb(-exponent)), 0)
        return Decimal(chance.choice([0, min(1, units), units, chance.randint(0, units)])).scaleb(exponent)

    def or_none(make: Callable[[], Decimal]) -> Decimal | None:
        return make() if chance.random() < 0.5 else None

    lines: list[OrderLine] = []
    total = Decimal(0)
    for number in range(1, chance.randint(1, 4) + 1):
        amounts = {kind: money(300) if kind == "item" else or_none(lambda: money(30)) for kind in KINDS}
        discounts = {
            kind: or_none(lambda most=amount: money(most if is_sound else 300)) or Decimal(0)  # type: ignore[misc]
            for kind, amount in amounts.items()
            if amount is not None
        }
        discount = sum(discounts.values(), Decimal(0))
        if not is_sound and chance.random() < 0.5:
            discount = money(300)  # which its parts do not come to
        gross = sum((amount or 0 for amount in amounts.values()), Decimal(0)) - discount
        tax = or_none(lambda most=gross: money(max(most, Decimal(0)) / 4))  # type: ignore[misc]
        lines.append(
            line(
                number,
                ordered_qty=chance.randint(1, 7),
                item_amount=amounts["item"],
                shipping_amount=amounts["shipping"],
                gift_wrap_amount=amounts["gift_wrap"],
                other_amount=amounts["other"],
                tax_amount=tax,
                discount_amount=discount or None,
                **{f"{kind}_discount_amount": discounts.get(kind) for kind in KINDS if kind != "item"},
            )
        )
        total += gross + (0 if MARKETPLACES[marketplace_id].prices_include_tax else tax or 0)
    if not is_sound:
        total = money(900)
    return order(*lines, total=str(total), currency=currency), marketplace_id, is_tax_used, is_sound


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.randoms(use_true_random=True))
def test_total_is_amazons_or_the_difference_is_named_when_orders_are_random(
    chance: Random,
) -> None:
    bought, marketplace_id, is_tax_used, is_sound = amazon_order(chance)
    document = entity(bought, marketplace_id=marketplace_id, is_amazon_tax_used=is_tax_used)
    smallest = Decimal(1) if bought.currency_code == "JPY" else Decimal("0.01")
    for name in ("subtotal", "shipping_amount", "tax_amount", "discount_amount", "shipping_discount_amount"):
        assert document[name] == document[f"base_{name}"] == document[name].quantize(smallest), name
    assert document["grand_total"] == bought.grand_total_amount

    # Every discount once: on the goods up to their price, on the charges up to theirs.
    items = document["items"]
    assert (
        sum(item["discount_amount"] for item in items) + document["shipping_discount_amount"]
        == -document["discount_amount"]
    )
    assert -document["discount_amount"] == sum((each.discount_amount or 0 for each in bought.lines), Decimal(0))
    if is_sound:
        for item, each in zip(items, bought.lines, strict=True):
            parts = [each.shipping_discount_amount, each.gift_wrap_discount_amount, each.other_discount_amount]
            assert item["discount_amount"] == (each.discount_amount or 0) - sum(part or 0 for part in parts)
        assert document["shipping_discount_amount"] <= document["shipping_incl_tax"]

    # What Commerce invoices is what Amazon's buyer paid, or the order says what is missing.
    invoiced = created(document)["total_invoiced"]
    said = comment(document)
    if invoiced != bought.grand_total_amount:
        assert "differs from its lines by" in said or "is in the grand total only" in said
        assert not is_sound or not is_tax_used
    else:
        assert "differs" not in said or "is in the grand total only" in said
