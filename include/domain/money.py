"""Exchange rates, and amounts that are divided or converted without losing a coin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from include.domain.marketplaces import currency_exponent, quantize


@dataclass(frozen=True)
class ExchangeRate:
    """One unit of `from_currency` is `rate` units of `to_currency` (ISO 4217) on `rate_date`, according to `source`."""

    from_currency: str
    to_currency: str
    rate_date: date
    rate: Decimal
    source: str

    def convert(self, amount: Decimal) -> Decimal:
        """An amount in the other currency, rounded half-even to its coin."""
        return quantize(amount * self.rate, self.to_currency)

    def convert_parts(self, parts: Sequence[Decimal]) -> list[Decimal]:
        """The parts of a sum, each within a coin of its exact value, so that they add up to the converted sum.

        Largest remainder: all are rounded down, and the coins that are missing then go to the parts that lost most. A
        part of zero stays zero.
        """
        coin = Decimal(1).scaleb(-currency_exponent(self.to_currency))
        exact = [part * self.rate for part in parts]
        converted = [amount.quantize(coin, rounding=ROUND_FLOOR) for amount in exact]
        missing = int((self.convert(sum(parts, Decimal(0))) - sum(converted, Decimal(0))) / coin)
        by_loss = sorted(range(len(parts)), key=lambda place: converted[place] - exact[place])
        for place in by_loss[:missing]:
            converted[place] += coin
        return converted
