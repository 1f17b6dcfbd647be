"""The validation suite beside a loop of plain Python with the same rules, on the same lines, in one process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from decimal import Decimal

from bench import Figure
from include.expectations.order_lines import validate_lines
from include.expectations.rules import CheckedLine
from tests.support.plain_rules import plain_findings

ROUNDS = 3


def random_lines(count: int) -> list[CheckedLine]:
    """`count` lines, about two per order; one in twenty breaks a rule."""
    dice = random.Random(count)
    return [
        CheckedLine(
            amazon_order_id=f"902-{number // 2:07}-0000000",
            amazon_item_id=str(number),
            seller_sku=f"SELLER-{number % 997}",
            catalog_sku=f"SKU-{number % 997}",
            is_in_catalog=dice.random() > 0.01,
            is_enabled=dice.random() > 0.01,
            requested_qty=dice.randint(1, 3),
            available_qty=None if dice.random() < 0.2 else Decimal(dice.randint(20_000, 1_000_000)).scaleb(-4),
            is_stock_required=dice.random() < 0.7,
            currency_code="USD",
            store_currency="USD" if dice.random() > 0.01 else "EUR",
        )
        for number in range(count)
    ]


def best_seconds(work: Callable[[], object]) -> float:
    """The fastest of a few rounds, in seconds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(orders: int) -> list[Figure]:
    """Validate up to a tenth of `orders` lines. Seconds of the suite, and how many times slower than the loop it is."""
    started = time.perf_counter()
    validate_lines(random_lines(1))
    figures = [Figure("validation suite, first call, import included", round(time.perf_counter() - started, 2), "s")]
    for size in (100, orders // 10):
        lines = random_lines(size)
        if validate_lines(lines).findings != plain_findings(lines):
            raise SystemExit(f"the suite and the plain loop disagree on {size} lines")
        suite = best_seconds(lambda lines=lines: validate_lines(lines))  # type: ignore[misc]
        plain = best_seconds(lambda lines=lines: plain_findings(lines))  # type: ignore[misc]
        figures += [
            Figure(f"validation suite, {size:,} lines", round(suite, 3), "s"),
            Figure(f"validation suite, {size:,} lines, beside plain Python", round(suite / plain), "x"),
        ]
    return figures
