"""Measures the validation suite beside a loop of plain Python with the same rules, on the same lines, in one process.

Run: `.venv/bin/python -m bench.validation`. Prints a table: lines, seconds of each, how many times slower the suite is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from decimal import Decimal

from include.expectations.order_lines import Finding, validate_lines
from include.expectations.rules import CheckedLine

SIZES = (100, 10_000, 100_000)
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


def plain_findings(lines: list[CheckedLine]) -> list[Finding]:
    """The same findings, in the same order, without an engine."""
    findings = []
    for line in lines:
        codes = []
        if not line.is_in_catalog:
            codes.append("missing_product")
        elif not line.is_enabled:
            codes.append("disabled_product")
        is_judged = line.is_in_catalog and line.is_stock_required and line.available_qty is not None
        if is_judged and line.available_qty is not None and line.available_qty < line.requested_qty:
            codes.append("out_of_stock")
        if line.currency_code and line.store_currency and line.currency_code != line.store_currency:
            codes.append("currency_mismatch")
        findings += [Finding(line.amazon_order_id, line.amazon_item_id, code) for code in codes]
    return findings


def best_seconds(work: Callable[[], object]) -> float:
    """The fastest of a few rounds, in seconds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    started = time.perf_counter()
    validate_lines(random_lines(1))
    print(f"first call, import included: {time.perf_counter() - started:.2f} s\n")
    print(f"{'lines':>8} {'findings':>9} {'suite s':>9} {'plain s':>9} {'ratio':>7}")
    for size in SIZES:
        lines = random_lines(size)
        expected = plain_findings(lines)
        if validate_lines(lines).findings != expected:
            raise SystemExit(f"the suite and the plain loop disagree on {size} lines")
        suite = best_seconds(lambda lines=lines: validate_lines(lines))  # type: ignore[misc]
        plain = best_seconds(lambda lines=lines: plain_findings(lines))  # type: ignore[misc]
        print(f"{size:>8} {len(expected):>9} {suite:>9.4f} {plain:>9.4f} {suite / plain:>7.0f}")


if __name__ == "__main__":
    main()
