"""Marketplaces are complete, and amounts have the decimals of their currency."""

from __future__ import annotations

import re
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from include.domain.marketplaces import MARKETPLACES, REGIONS, currency_exponent, quantize


def test_marketplaces_are_complete_when_listed() -> None:
    assert len(MARKETPLACES) == 23
    for marketplace_id, marketplace in MARKETPLACES.items():
        assert marketplace.marketplace_id == marketplace_id
        assert re.fullmatch(r"A[A-Z0-9]{12,13}", marketplace_id)
        assert marketplace.region in REGIONS
        assert re.fullmatch(r"[A-Z]{2}", marketplace.country_code)
        assert re.fullmatch(r"[A-Z]{3}", marketplace.currency_code)
        assert re.fullmatch(r"sellercentral\.amazon(\.[a-z]{2,3}){1,2}", marketplace.seller_central_host)
        assert ZoneInfo(marketplace.time_zone)
    assert len({marketplace.country_code for marketplace in MARKETPLACES.values()}) == 23


@pytest.mark.parametrize(
    ("marketplace_id", "country", "region", "currency", "includes_tax"),
    [
        ("ATVPDKIKX0DER", "US", "na", "USD", False),
        ("A2EUQ1WTGCTBG2", "CA", "na", "CAD", False),
        ("A2Q3Y263D00KWC", "BR", "na", "BRL", True),
        ("A1F83G8C2ARO7P", "GB", "eu", "GBP", True),
        ("A1PA6795UKMFR9", "DE", "eu", "EUR", True),
        ("A1C3SOZRARQ6R3", "PL", "eu", "PLN", True),
        ("A1VC38T7YXB528", "JP", "fe", "JPY", True),
    ],
)
def test_marketplace_has_its_region_currency_and_tax_rule_when_looked_up(
    marketplace_id: str, country: str, region: str, currency: str, includes_tax: bool
) -> None:
    found = MARKETPLACES[marketplace_id]
    assert (found.country_code, found.region, found.currency_code) == (country, region, currency)
    assert found.prices_include_tax is includes_tax


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "USD", "1.00"),  # half to even
        ("1.015", "USD", "1.02"),
        ("-0.125", "EUR", "-0.12"),
        ("19940", "JPY", "19940"),
        ("0.5", "JPY", "0"),
        ("1.5", "JPY", "2"),
        ("7", "GBP", "7.00"),
    ],
)
def test_amount_is_rounded_when_it_has_other_decimals_than_its_currency(
    amount: str, currency: str, rounded: str
) -> None:
    result = quantize(Decimal(amount), currency)
    assert str(result) == rounded


def test_exponent_is_zero_when_the_currency_has_no_decimals() -> None:
    assert currency_exponent("JPY") == 0
    assert {currency_exponent(m.currency_code) for m in MARKETPLACES.values() if m.currency_code != "JPY"} == {2}
