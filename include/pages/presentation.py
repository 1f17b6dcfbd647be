"""Turns the values of an order into the words and colors that people read on a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from include.domain.marketplaces import currency_exponent

DASH = "\N{EM DASH}"

# Shown status -> color of its dot, as the extension that merchants know had them. What is not listed stays plain.
STATUS_TONES = {
    "Pending": "gray",
    "Pending Availability": "gray",
    "Unshipped": "yellow",
    "Partially Shipped": "yellow",
    "Shipped": "blue",
    "Completed": "blue",
    "Error": "orange",
    "Canceled": "plain",
}

# Signs that tell the dollars apart: one page shows several stores. A currency without a sign of its own shows its code.
_CURRENCY_SIGNS = {
    "USD": "$",
    "CAD": "CA$",
    "MXN": "MX$",
    "AUD": "A$",
    "SGD": "S$",
    "BRL": "R$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "TRY": "₺",
}


def status_tone(status: str) -> str:
    """The color of a shown status's dot; `plain` for a word that is new to us."""
    return STATUS_TONES.get(status, "plain")


def date_text(moment: datetime) -> str:
    """A moment in UTC, like `Nov 20, 2026, 14:05`."""
    utc = moment.astimezone(UTC)
    return f"{utc:%b} {utc.day}, {utc:%Y, %H:%M}"


def money_text(amount: Decimal | None, currency_code: str | None) -> str:
    """An amount with its currency's sign and decimals, like `$1,234.50` or `¥3,980`; a dash when there is none.

    Digits beyond the currency's smallest unit are shown, not rounded away.
    """
    if amount is None:
        return DASH
    exponent = amount.normalize().as_tuple().exponent
    needed = -exponent if isinstance(exponent, int) else 0
    decimals = max(currency_exponent(currency_code or ""), needed)
    sign = "-" if amount < 0 else ""
    number = f"{abs(amount):,.{decimals}f}"
    if not currency_code:
        return f"{sign}{number}"
    return f"{sign}{_CURRENCY_SIGNS.get(currency_code, currency_code + chr(0xA0))}{number}"


def link_or_none(url: str) -> str | None:
    """`url` if a browser may follow it: a page on the web, and no script."""
    return url if url.startswith(("https://", "http://")) else None


def buyer_name(contact: Mapping[str, Any]) -> str:
    """The buyer's name of a decrypted contact, else the recipient's, else empty (Amazon withholds it for FBA).

    Source: `buyer.buyerName` and `recipient.deliveryAddress.name` of Amazon's Orders API 2026-01-01.
    """
    buyer = _mapping(contact.get("buyer"))
    address = _mapping(_mapping(contact.get("recipient")).get("deliveryAddress"))
    for name in (buyer.get("buyerName"), address.get("name")):
        if isinstance(name, str) and name.strip():
            return name.strip()
    return ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
