"""The validation suite beside plain Python and beside pandas masks, on the same lines, in one process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from decimal import Decimal

from bench import Figure
from include.expectations.order_lines import frame_of, validate_lines
from include.expectations.rules import KEY_COLUMNS, CheckedLine
from tests.support.plain_rules import plain_findings

_FLAGS = (
    "has_amounts",
    "is_wanted",
    "is_in_catalog",
    "is_enabled",
    "is_in_website",
    "is_orderable_type",
    "is_stock_required",
    "is_stock_limited",
)
ROUNDS = 3
MASKED = 100_000


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
    return figures + _beside_masks()


def _beside_masks() -> list[Figure]:
    """From lines to findings, frame included: by the suite, and by masks that name the failing lines as it does."""
    lines = random_lines(MASKED)
    found = [(one.amazon_order_id, one.amazon_item_id, one.blocker_code) for one in validate_lines(lines).findings]
    if sorted(found) != sorted(masked_findings(lines)):
        raise SystemExit(f"the suite and the masks disagree on {MASKED} lines")
    suite, masks = best_seconds(lambda: validate_lines(lines)), best_seconds(lambda: masked_findings(lines))
    return [
        Figure(f"validation suite, {MASKED:,} lines: pandas masks alone", round(masks, 3), "s"),
        Figure(f"validation suite, {MASKED:,} lines, beside pandas masks", round(suite / masks, 1), "x", 15),
    ]


def masked_findings(lines: list[CheckedLine]) -> list[tuple[str, str, str]]:
    """Order id, item id and blocker code of each line that breaks a blocker rule, by masks over its frame."""
    frame = frame_of(lines)
    is_true = {name: frame[name] == True for name in _FLAGS}  # noqa: E712 - a mask
    in_catalog = is_true["is_in_catalog"]
    limited = in_catalog & is_true["is_stock_required"] & is_true["is_stock_limited"]
    currencies = frame["currency_code"].notna() & frame["store_currency"].notna()
    short = frame[limited]
    broken = {
        "amount_missing": ~is_true["has_amounts"],
        "buyer_requested_cancel": ~is_true["is_wanted"],
        "missing_product": ~in_catalog,
        "disabled_product": in_catalog & ~is_true["is_enabled"],
        "not_in_website": in_catalog & ~is_true["is_in_website"],
        "unsupported_product_type": in_catalog & ~is_true["is_orderable_type"],
        "currency_mismatch": currencies & (frame["currency_code"] != frame["store_currency"]),
        "out_of_stock": (short["available_qty"] < short["requested_qty"]).reindex(frame.index, fill_value=False),
    }
    return [
        (order_id, item_id, code)
        for code, mask in broken.items()
        for order_id, item_id in frame.loc[mask, list(KEY_COLUMNS)].itertuples(index=False)
    ]
