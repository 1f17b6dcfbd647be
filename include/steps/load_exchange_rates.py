"""Loads exchange rates from CSV into `reporting.exchange_rates`: all rows, or none if one of them is wrong."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Engine

from include.database.statements import load_statements
from include.domain.errors import MisconfiguredError
from include.domain.money import ExchangeRate

log = logging.getLogger(__name__)

COLUMNS = ("rate_date", "from_currency", "to_currency", "rate", "source")
_MOST_MISTAKES = 20  # that one error lists
_LONGEST_SOURCE = 100
_LARGEST_RATE = Decimal(10) ** 9
_COIN_OF_RATES = Decimal(1).scaleb(-10)


def read_rates(params: Mapping[str, Any], *, now: datetime) -> list[ExchangeRate]:
    """The rates of the param `csv`. Raises MisconfiguredError naming the lines and what is wrong with them."""
    text = params.get("csv")
    if not isinstance(text, str) or not text.strip():
        raise _refused("is empty", f"give lines of {','.join(COLUMNS)}, beginning with these names")
    rows = csv.reader(text.strip().splitlines())
    header = [name.strip() for name in next(rows)]
    if tuple(header) != COLUMNS:
        raise _refused(f"begins with {','.join(header)[:200]!r}", f"begin with {','.join(COLUMNS)}")
    rates: dict[tuple[str, str, date], ExchangeRate] = {}
    mistakes = []
    for cells in rows:
        line = rows.line_num
        if not any(cell.strip() for cell in cells):
            continue
        problem = ", ".join(_problems(cells, latest=now.date() + timedelta(days=1)))
        if not problem:
            rate = _rate(cells)
            key = (rate.from_currency, rate.to_currency, rate.rate_date)
            if key not in rates:
                rates[key] = rate
                continue
            problem = "the rate of this day is there twice"
        mistakes.append(f"line {line}: {problem}")
    if mistakes:
        more = f"; and {len(mistakes) - _MOST_MISTAKES} more lines" if len(mistakes) > _MOST_MISTAKES else ""
        raise _refused(
            f"has mistakes. {'; '.join(mistakes[:_MOST_MISTAKES])}{more}", "correct them; nothing was loaded"
        )
    if not rates:
        raise _refused("has no rates", "give one line for each day and pair of currencies")
    return list(rates.values())


def run(
    engine: Engine, rates: list[ExchangeRate], *, is_dry_run: bool, now: datetime, dag_run_id: str
) -> dict[str, int]:
    """Store the rates; a rate that is stored already is replaced if it differs. Returns how many were read and written.

    Only writer of reporting.exchange_rates. With `is_dry_run` nothing is written.
    """
    columns = {name: [getattr(rate, name) for rate in rates] for name in COLUMNS}
    with engine.connect() as connection:
        values = columns | {"now": now, "dag_run_id": dag_run_id}
        written = connection.execute(load_statements(__file__)["store_rates"], values).rowcount
        if not is_dry_run:
            connection.commit()
    counts = {"read": len(rates), "written": written}
    what = "dry run, nothing was written, would be written" if is_dry_run else "written"
    log.info("load_exchange_rates: read=%d %s=%d", len(rates), what, written)
    return counts


def _problems(cells: list[str], *, latest: date) -> Iterator[str]:
    if len(cells) != len(COLUMNS):
        yield f"has {len(cells)} values, not {len(COLUMNS)}"
        return
    day, from_currency, to_currency, rate, source = (cell.strip() for cell in cells)
    try:
        if date.fromisoformat(day) > latest:
            yield "rate_date is in the future"
    except ValueError:
        yield "rate_date is not a day such as 2026-01-31"
    for name, code in (("from_currency", from_currency), ("to_currency", to_currency)):
        if not re.fullmatch("[A-Z]{3}", code):
            yield f"{name} is not a code of three capital letters"
    if from_currency == to_currency:
        yield "both currencies are the same"
    try:
        number = Decimal(rate)
        if not (number.is_finite() and _COIN_OF_RATES <= number < _LARGEST_RATE):
            yield "rate must be at least 0.0000000001 and less than 1000000000"
        elif number != number.quantize(_COIN_OF_RATES):
            yield "rate has more than 10 decimals"
    except InvalidOperation:
        yield "rate is not a number such as 1.0834"
    if not 0 < len(source) <= _LONGEST_SOURCE:
        yield f"source is empty or longer than {_LONGEST_SOURCE} characters"


def _rate(cells: list[str]) -> ExchangeRate:
    day, from_currency, to_currency, rate, source = (cell.strip() for cell in cells)
    return ExchangeRate(from_currency, to_currency, date.fromisoformat(day), Decimal(rate), source)


def _refused(what: str, remedy: str) -> MisconfiguredError:
    return MisconfiguredError(f"The param csv {what}. Resolution: {remedy}.")
