"""Writes moments, money, counts, links and statuses as people read them on every page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from include.domain.marketplaces import currency_exponent
from include.domain.statuses import SHOWN_STATUSES

DASH = "\N{EM DASH}"

# Pages count no further: a count costs the same however many rows there are.
COUNT_LIMIT = 1000

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
    shown = SHOWN_STATUSES.get(status)
    return shown.tone if shown else "plain"


def date_text(moment: datetime) -> str:
    """A moment in UTC, like `Nov 20, 2026, 14:05`."""
    utc = moment.astimezone(UTC)
    return f"{utc:%b} {utc.day}, {utc:%Y, %H:%M}"


def age_text(age: timedelta) -> str:
    """How long ago something was, like `4 minutes ago`; never more exact than its largest unit."""
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    units = (("day", 24 * 60), ("hour", 60), ("minute", 1))
    unit, count = next((unit, minutes // size) for unit, size in units if minutes >= size)
    return f"{count} {unit} ago" if count == 1 else f"{count} {unit}s ago"


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


def count_text(count: int) -> str:
    """A count that was taken up to one more than COUNT_LIMIT, like `12` or `1,000+`."""
    return f"{COUNT_LIMIT:,}+" if count > COUNT_LIMIT else f"{count:,}"


def link_or_none(url: str) -> str | None:
    """`url` if a browser may follow it: a page on the web, and no script."""
    return url if url.startswith(("https://", "http://")) else None
