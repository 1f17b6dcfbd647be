"""What the analysts' views must say about a world: plain Python, written from the definitions in docs/analysts.md.

Each function returns the rows of one view: grouping columns -> the other columns, by name. Times of day are left out of
the hours that count from now.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tests.support.analyst_world import ZONES, Line, Sale, World

Rows = dict[tuple[Any, ...], dict[str, Any]]
Thing = TypeVar("Thing")


def local_day(at: datetime, store_name: str) -> date:
    return at.astimezone(ZoneInfo(ZONES[store_name][1])).date()


def _grouped(things: Iterable[Thing], key: Callable[[Thing], Hashable]) -> dict[Any, list[Thing]]:
    groups: dict[Any, list[Thing]] = defaultdict(list)
    for thing in things:
        groups[key(thing)].append(thing)
    return groups


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Null is not zero: amounts that Amazon does not give are left out."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _percentile(values: Sequence[float], share: float) -> float:
    """Linear between the two nearest values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _currency(sale: Sale) -> str | None:
    """The order's own; the marketplace's while Amazon gives no amount."""
    return ZONES[sale.store_name][2] or (None if sale.grand_total_amount is None else "USD")


def _line_currency(sale: Sale, line: Line) -> str | None:
    return _currency(sale) or (None if line.item_amount is None else "USD")


def _money(lines: Sequence[Line]) -> dict[str, Decimal | None]:
    """Where Amazon gives the goods of a line, what it does not mention is zero."""
    found = {"item_amount": _sum(line.item_amount for line in lines)}
    for name in ("discount_amount", "shipping_amount", "tax_amount"):
        found[name] = _sum(
            Decimal(0) if getattr(line, name) is None and line.item_amount is not None else getattr(line, name)
            for line in lines
        )
    return found


def _left(line: Line) -> int:
    return line.ordered_qty - line.canceled_qty


def daily_sales(world: World) -> Rows:
    rows: Rows = {}
    groups = _grouped(
        world.sales,
        lambda s: (local_day(s.purchased_at, s.store_name), s.store_name, s.fulfilled_by, _currency(s)),
    )
    for key, sales in groups.items():
        sold = [sale for sale in sales if not sale.is_canceled]
        lines = [line for sale in sold for line in sale.lines]
        rows[key] = {
            "order_count": len(sold),
            "ordered_qty": sum(map(_left, lines)),
            "grand_total_amount": _sum(sale.grand_total_amount for sale in sold),
            "canceled_order_count": len(sales) - len(sold),
            **_money([line for line in lines if _left(line)]),
        }
    return rows


def daily_sales_by_sku(world: World) -> Rows:
    rows: Rows = {}
    pairs = [(sale, line) for sale in world.sales for line in sale.lines]
    groups = _grouped(
        pairs,
        lambda p: (
            local_day(p[0].purchased_at, p[0].store_name), p[0].store_name, p[0].fulfilled_by,
            _line_currency(*p), p[1].sku,
        ),
    )  # fmt: skip
    for key, found in groups.items():
        sold = [(sale, line) for sale, line in found if not sale.is_canceled and _left(line)]
        rows[key] = {
            "order_count": len({sale.amazon_order_id for sale, _ in sold}),
            "ordered_qty": sum(_left(line) for _, line in sold),
            "canceled_order_count": len({sale.amazon_order_id for sale, _ in found if sale.is_canceled}),
            **_money([line for _, line in sold]),
        }
    return rows


def blocked_revenue(world: World) -> Rows:
    rows: Rows = {}
    found = [
        (sale, episode, None if episode.of_line is None else sale.lines[episode.of_line])
        for sale in world.sales
        for episode in sale.episodes
        if episode.closed_at is None and episode.severity == "critical" and not sale.is_canceled
    ]
    groups = _grouped(
        found, lambda f: (f[0].store_name, f[1].code, f[2].sku if f[2] else None, ZONES[f[0].store_name][2] or "USD")
    )
    for key, group in groups.items():
        due = [
            episode.amount
            for sale, episode, _ in group
            if sale.ship_by_at is not None and sale.ship_by_at < world.now + timedelta(hours=24)
        ]
        rows[key] = {
            "order_count": len({sale.amazon_order_id for sale, _, _ in group}),
            "blocked_qty": sum(
                _left(line) if line else sum(one.ordered_qty for one in sale.lines) for sale, _, line in group
            ),
            "blocked_amount": _sum(episode.amount for _, episode, _ in group),
            "due_within_24h_amount": _sum(due) or Decimal(0),
        }
    return rows


def ship_by_risk(world: World) -> Rows:
    rows: Rows = {}
    for sale in world.sales:
        if sale.fulfilled_by != "MERCHANT" or sale.amazon_status not in ("UNSHIPPED", "PARTIALLY_SHIPPED"):
            continue
        left = None if sale.ship_by_at is None else sale.ship_by_at - world.now
        if left is not None and left < timedelta(0):
            risk = "overdue"
        elif sale.pipeline_state in ("blocked", "in_doubt"):
            risk = sale.pipeline_state
        else:
            risk = "at_risk" if left is not None and left < timedelta(hours=24) else "on_track"
        rows[(sale.amazon_order_id,)] = {
            "store_name": sale.store_name,
            "risk_code": risk,
            "ship_by_at": sale.ship_by_at,
            "open_qty": sum(_left(line) - line.fulfilled_qty for line in sale.lines),
        }
    return rows


def time_to_commerce(world: World) -> Rows:
    rows: Rows = {}
    created = [(sale, sale.created_at) for sale in world.sales if sale.created_at is not None]
    for key, group in _grouped(created, lambda c: (local_day(c[1], c[0].store_name), c[0].store_name)).items():
        seconds = [(at - sale.purchased_at).total_seconds() for sale, at in group]
        landing = [(sale.landed_at - sale.purchased_at).total_seconds() for sale, _ in group]
        creation = [(at - sale.landed_at).total_seconds() for sale, at in group]
        rows[key] = {
            "order_count": len(group),
            **{f"p{share}_seconds": _percentile(seconds, share / 100) for share in (50, 90, 99)},
            **{f"p{share}_landing_seconds": _percentile(landing, share / 100) for share in (50, 90)},
            **{f"p{share}_creation_seconds": _percentile(creation, share / 100) for share in (50, 90)},
        }
    return rows


def cancellations(world: World) -> Rows:
    rows: Rows = {}
    groups = _grouped(world.sales, lambda s: (local_day(s.purchased_at, s.store_name), s.store_name, s.fulfilled_by))
    for key, sales in groups.items():
        canceled = [sale for sale in sales if sale.is_canceled]
        by = [_canceled_by(sale) for sale in canceled]
        rows[key] = {
            "order_count": len(sales),
            "canceled_order_count": len(canceled),
            "canceled_by_buyer_count": by.count("BUYER"),
            "canceled_by_seller_count": by.count("MERCHANT"),
            "canceled_by_amazon_count": by.count("AMAZON"),
            "canceled_by_unclear_count": by.count(None),
            "cancel_rate": round(len(canceled) / len(sales), 4),
            "seller_cancel_rate": round(by.count("MERCHANT") / len(sales), 4),
            "partly_canceled_order_count": sum(
                not sale.is_canceled and any(line.canceled_qty for line in sale.lines) for sale in sales
            ),
            "canceled_qty": sum(line.canceled_qty for sale in sales for line in sale.lines),
        }
    return rows


def _canceled_by(sale: Sale) -> str | None:
    """Whoever canceled all of its lines of which Amazon says it; nobody if these differ."""
    names = {line.canceled_by for line in sale.lines if line.canceled_qty and line.canceled_by}
    return names.pop() if len(names) == 1 else None


def fulfilment_lateness_daily(world: World) -> Rows:
    rows: Rows = {}
    due = [
        (sale, sale.ship_by_at)
        for sale in world.sales
        if sale.fulfilled_by == "MERCHANT"
        and sale.amazon_status in ("UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED")
        and sale.ship_by_at is not None
    ]
    for key, group in _grouped(due, lambda d: (local_day(d[1], d[0].store_name), d[0].store_name)).items():
        in_time = sum(sale.shipped_at is not None and sale.shipped_at <= by for sale, by in group)
        late = sum(sale.shipped_at is not None and sale.shipped_at > by for sale, by in group)
        overdue = sum(sale.shipped_at is None and by < world.now for sale, by in group)
        were_due = in_time + late + overdue
        rows[key] = {
            "order_count": len(group),
            "confirmed_on_time_count": in_time,
            "confirmed_late_count": late,
            "unconfirmed_count": overdue,
            "not_due_count": len(group) - were_due,
            "late_rate": round((late + overdue) / were_due, 4) if were_due else None,
        }
    return rows


def sales_summary(world: World) -> Rows:
    rows: Rows = {}
    sold = [sale for sale in world.sales if not sale.is_canceled]
    for key, group in _grouped(sold, lambda s: (s.store_name, _currency(s))).items():
        rows[key] = {}
        for name, days in (("last_7_days", 7), ("last_30_days", 30), ("lifetime", 100_000)):
            since = local_day(world.now, key[0]) - timedelta(days=days - 1)
            recent = [sale for sale in group if local_day(sale.purchased_at, sale.store_name) >= since]
            rows[key][f"{name}_order_count"] = len(recent)
            rows[key][f"{name}_amount"] = _sum(sale.grand_total_amount for sale in recent)
    return rows


def blocker_history_daily(world: World) -> Rows:
    rows: Rows = {}
    episodes = [(sale, episode) for sale in world.sales for episode in sale.episodes]
    for (store_name, code), group in _grouped(episodes, lambda e: (e[0].store_name, e[1].code)).items():
        spans = [
            (
                local_day(episode.opened_at, store_name),
                local_day(episode.closed_at, store_name) if episode.closed_at else None,
                (episode.closed_at - episode.opened_at).total_seconds() / 3600 if episode.closed_at else None,
            )
            for _, episode in group
        ]
        day, today = min(opened for opened, _, _ in spans), local_day(world.now, store_name)
        while day <= today:
            then = [span for span in spans if span[0] <= day and (span[1] is None or span[1] >= day)]
            hours = [span[2] for span in then if span[1] == day and span[2] is not None]
            if then:
                rows[(day, store_name, code)] = {
                    "opened_count": sum(opened == day for opened, _, _ in then),
                    "closed_count": len(hours),
                    "open_at_end_count": len(then) - len(hours),
                    "mean_hours_to_resolve": sum(hours) / len(hours) if hours else None,
                    "p90_hours_to_resolve": _percentile(hours, 0.9) if hours else None,
                }
            day += timedelta(days=1)
    return rows
