"""When the writes of a store to Commerce are stopped until a person has looked: the circuit breaker's rules.

Every rule compares what is seen now with what is normal for this store. A limit of 0 switches its rule off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

ORDERS, CANCELLATIONS, REFUNDS = "orders", "cancellations", "refunds"
HOLD_KINDS = (ORDERS, CANCELLATIONS, REFUNDS)
REASON_CODES = ("blocked_rate", "price", "volume", "refusals", "totals")
APPROVE, DECLINE = "approve", "decline"
DECISIONS = (APPROVE, DECLINE)
# How many of a store's last created orders are looked at for totals that differ.
RECENT_ORDERS = 20
_MOST_LISTED = 3


@dataclass(frozen=True)
class Limits:
    """From when on writes are stopped; settings.py explains each."""

    history_orders: int
    history_days: int
    minimum_orders: int
    volume_factor: int
    price_factor: int
    blocked_percent: int
    refusals: int
    totals: int


@dataclass(frozen=True)
class Norm:
    """What is normal for one store; amounts in its currency, None without history."""

    days: int = 0  # so long a history is looked at
    order_count: int = 0
    day_count: int = 0
    busiest_day_count: int = 0
    low_amount: Decimal | None = None
    median_amount: Decimal | None = None
    high_amount: Decimal | None = None
    checked_count: int = 0
    blocked_count: int = 0


@dataclass(frozen=True)
class Seen:
    """What one store is about to create, beside what it did in 24 hours. A replacement has the total 0."""

    amounts: dict[str, Decimal | None]  # totals of the orders to create, by Amazon order id
    created_count: int  # orders created in the last 24 hours
    blocked_count: int  # blocked orders that were bought in the last 24 hours


@dataclass(frozen=True)
class Streak:
    """How a store's last orders fared in Commerce: since the last success, and of the last RECENT_ORDERS created."""

    refused_count: int
    last_refusal: str | None
    recent_count: int
    differing_count: int


@dataclass(frozen=True)
class Reason:
    """Why writes are stopped, with the numbers. `order_ids`: only these orders; None: all of the store."""

    code: str  # one of REASON_CODES
    sentence: str
    seen: Decimal
    limit: Decimal
    order_ids: tuple[str, ...] | None = None


def evaluate_streak(streak: Streak, limits: Limits) -> Reason | None:
    """Why no further order is to be sent after how the last ones fared. Needs no history."""
    if limits.refusals and streak.refused_count >= limits.refusals:
        last = f" The last one: {streak.last_refusal}" if streak.last_refusal else ""
        sentence = f"Commerce refused {streak.refused_count} orders in a row.{last}"
        return _reason("refusals", sentence, streak.refused_count, limits.refusals)
    if limits.totals and streak.differing_count >= limits.totals:
        sentence = (
            f"{streak.differing_count} of the last {streak.recent_count} created orders have another total in Commerce "
            "than on Amazon."
        )
        return _reason("totals", sentence, streak.differing_count, limits.totals)
    return None


def evaluate_orders(seen: Seen, norm: Norm, limits: Limits) -> Reason | None:
    """Why the waiting orders of a store are not to be created, or some of them; None: they are as usual."""
    return (
        _evaluate_volume(seen, norm, limits)
        or _evaluate_blocked(seen, norm, limits)
        or _evaluate_typical_price(seen, norm, limits)
        or _evaluate_odd_prices(seen, norm, limits)
    )


def evaluate_changes(kind: str, count: int, busiest_day_count: int, limits: Limits) -> Reason | None:
    """Why `count` cancellations or refunds in 24 hours are too many. Without history, the minimum decides."""
    limit = max(limits.minimum_orders, limits.volume_factor * busiest_day_count + 1)
    if not limits.volume_factor or count < limit:
        return None
    what = "cancellations" if kind == CANCELLATIONS else "credit memos"
    sentence = f"{count} {what} became due in 24 hours; the busiest day before had {busiest_day_count}."
    return _reason("volume", sentence, count, limit)


def _has_history(norm: Norm, limits: Limits) -> bool:
    return norm.order_count >= limits.history_orders and norm.day_count >= limits.history_days


def _evaluate_volume(seen: Seen, norm: Norm, limits: Limits) -> Reason | None:
    count = len(seen.amounts) + seen.created_count
    limit = max(limits.minimum_orders, limits.volume_factor * norm.busiest_day_count + 1)
    if not limits.volume_factor or not _has_history(norm, limits) or count < limit:
        return None
    sentence = (
        f"{count} orders are to be created or were created in 24 hours; the busiest of the last {norm.days} days had "
        f"{norm.busiest_day_count}."
    )
    return _reason("volume", sentence, count, limit)


def _evaluate_blocked(seen: Seen, norm: Norm, limits: Limits) -> Reason | None:
    total = seen.blocked_count + len(seen.amounts) + seen.created_count
    if not limits.blocked_percent or norm.checked_count < limits.history_orders or total < limits.minimum_orders:
        return None
    if norm.day_count < limits.history_days:
        return None
    percent = Decimal(100 * seen.blocked_count) / total
    usual = Decimal(100 * norm.blocked_count) / norm.checked_count
    limit = usual + limits.blocked_percent
    if percent < limit:
        return None
    sentence = (
        f"{seen.blocked_count} of the {total} orders of 24 hours are blocked ({percent:.0f} %); in the last "
        f"{norm.days} days it was {usual:.0f} %."
    )
    return Reason("blocked_rate", sentence, percent, limit)


def _evaluate_typical_price(seen: Seen, norm: Norm, limits: Limits) -> Reason | None:
    amounts = sorted(amount for amount in seen.amounts.values() if amount)
    usual = norm.median_amount
    if not limits.price_factor or not _has_history(norm, limits) or len(amounts) < limits.minimum_orders or not usual:
        return None
    typical = amounts[len(amounts) // 2]
    high, low = usual * limits.price_factor, usual / limits.price_factor
    if low <= typical <= high:
        return None
    sentence = f"The typical total of the {len(amounts)} waiting orders is {typical:.2f}; usually it is {usual:.2f}."
    return Reason("price", sentence, typical, high if typical > high else low)


def _evaluate_odd_prices(seen: Seen, norm: Norm, limits: Limits) -> Reason | None:
    """Single orders far off: only they are stopped, the others of the store go on."""
    if not limits.price_factor or not _has_history(norm, limits) or not norm.low_amount or not norm.high_amount:
        return None
    low, high = norm.low_amount / limits.price_factor, norm.high_amount * limits.price_factor
    odd = {order_id: amount for order_id, amount in seen.amounts.items() if amount and not low <= amount <= high}
    if not odd:
        return None
    what = "is an unusual total" if len(odd) == 1 else "are unusual totals"
    sentence = (
        f"{_listed(sorted(odd.values(), reverse=True))} {what}; "
        f"nearly all orders of the last {norm.days} days were between {norm.low_amount:.2f} and {norm.high_amount:.2f}."
    )
    largest = max(odd.values())
    is_high = largest > high
    seen_value, limit = (largest, high) if is_high else (min(odd.values()), low)
    return Reason("price", sentence, seen_value, limit, tuple(sorted(odd)))


def _listed(amounts: Sequence[Decimal]) -> str:
    texts = [f"{amount:.2f}" for amount in amounts[:_MOST_LISTED]]
    more = f" and {len(amounts) - _MOST_LISTED} more" if len(amounts) > _MOST_LISTED else ""
    return ", ".join(texts) + more


def _reason(code: str, sentence: str, seen: int, limit: int) -> Reason:
    return Reason(code, sentence, Decimal(seen), Decimal(limit))
