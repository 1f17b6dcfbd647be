"""The demo's last words: what it prints, and the promises that it checks."""

from __future__ import annotations

from decimal import Decimal

import pytest

from local.report import ShopOrder, broken_promises, money, table

GOOD = {"111-1": "000000001", "111-2": None}
SHOP = [ShopOrder("111-1", "000000001")]


def test_promises_when_kept() -> None:
    assert broken_promises({}, GOOD, SHOP) == []
    assert broken_promises(GOOD, {**GOOD, "111-3": None}, SHOP) == []
    assert broken_promises({"111-1": None}, GOOD, SHOP) == []


@pytest.mark.parametrize(
    ("before", "after", "shop", "said"),
    [
        ({}, GOOD, [*SHOP, ShopOrder("111-1", "000000002")], "has 2 orders in the shop"),
        ({}, GOOD, [], "it has none"),
        ({}, GOOD, [*SHOP, ShopOrder("111-2", "000000002")], "says None for 111-2"),
        ({}, GOOD, [*SHOP, ShopOrder("111-9", "000000009")], "111-9, which is not in Recent Orders"),
        ({"111-7": None}, GOOD, SHOP, "111-7 was in Recent Orders before"),
        ({"111-1": "000000008"}, GOOD, SHOP, "111-1 had order 000000008"),
        ({}, {}, [], "Recent Orders is empty"),
    ],
)
def test_promises_when_broken(
    before: dict[str, str | None], after: dict[str, str | None], shop: list[ShopOrder], said: str
) -> None:
    assert any(said in problem for problem in broken_promises(before, after, shop))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (None, None, "-"),
        (Decimal("31.3900"), "USD", "31.39 USD"),
        (Decimal("18250.0000"), "JPY", "18,250 JPY"),
        (Decimal("0.0000"), "EUR", "0.00 EUR"),
        (Decimal("1.2345"), "EUR", "1.2345 EUR"),
        (Decimal("100"), "USD", "100.00 USD"),
    ],
)
def test_money_when_shown(amount: Decimal | None, currency: str | None, text: str) -> None:
    assert money(amount, currency) == text


def test_table_when_a_text_is_long() -> None:
    lines = table(["Order", "What to do"], [("111-1", "Create the product"), ("111-2", "")], {1: 10})
    assert lines == [
        "Order  What to do",
        "-----  ----------",
        "111-1  Create the",
        "       product",
        "111-2",
    ]


def test_table_when_there_are_no_rows() -> None:
    assert table(["Order"], []) == ["(none)"]
