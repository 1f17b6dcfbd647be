"""What the demo prints at its end, and its final check of the shop against Recent Orders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from local.report import ShopOrder, discrepancies, money, table

GOOD = {"111-1": "000000001", "111-2": None}
SHOP = [ShopOrder("111-1", "000000001")]


def test_no_discrepancy_is_found_when_shop_and_recent_orders_agree() -> None:
    assert discrepancies({}, GOOD, SHOP) == []
    assert discrepancies(GOOD, {**GOOD, "111-3": None}, SHOP) == []
    assert discrepancies({"111-1": None}, GOOD, SHOP) == []


@pytest.mark.parametrize(
    ("before", "after", "shop", "sentence"),
    [
        ({}, GOOD, [*SHOP, ShopOrder("111-1", "000000002")], "111-1 has 2 Commerce orders"),
        ({}, GOOD, [], "shows Commerce order 000000001, the shop has none"),
        (
            {},
            GOOD,
            [*SHOP, ShopOrder("111-2", "000000002")],
            "111-2: Recent Orders shows no Commerce order, the shop has 000000002",
        ),
        (
            {},
            GOOD,
            [*SHOP, ShopOrder("111-9", "000000009")],
            "111-9 has a Commerce order, but is missing from Recent Orders",
        ),
        ({"111-7": None}, GOOD, SHOP, "111-7 has disappeared from Recent Orders"),
        (
            {"111-1": "000000008"},
            GOOD,
            SHOP,
            "111-1 had Commerce order 000000008 before; it now has Commerce order 000000001",
        ),
        ({}, {}, [], "Recent Orders is empty"),
    ],
)
def test_discrepancy_is_named_when_shop_and_recent_orders_differ(
    before: dict[str, str | None], after: dict[str, str | None], shop: list[ShopOrder], sentence: str
) -> None:
    assert any(sentence in problem for problem in discrepancies(before, after, shop))


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
def test_amount_has_the_currencys_decimals_when_shown(amount: Decimal | None, currency: str | None, text: str) -> None:
    assert money(amount, currency) == text


def test_table_wraps_a_cell_when_its_text_is_long() -> None:
    lines = table(["Order", "What to do"], [("111-1", "Create the product"), ("111-2", "")], {1: 10})
    assert lines == [
        "Order  What to do",
        "-----  ----------",
        "111-1  Create the",
        "       product",
        "111-2",
    ]


def test_table_keeps_an_id_in_one_piece_when_it_has_hyphens() -> None:
    assert table(["SKU"], [("Product LAMP-OAK-TABLE",)], {0: 20})[2:] == ["Product", "LAMP-OAK-TABLE"]


def test_table_aligns_columns_when_a_cell_has_wide_characters() -> None:
    assert table(["Carrier", "State"], [("ヤマト運輸", "sent"), ("UPS", "sent")])[2:] == [
        "ヤマト運輸  sent",
        "UPS         sent",
    ]


def test_table_says_none_when_there_are_no_rows() -> None:
    assert table(["Order"], []) == ["(none)"]
