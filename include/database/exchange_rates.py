"""Finds the rates of `reporting.exchange_rates` with which orders are converted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta

from sqlalchemy import Connection

from include.database.statements import load_statements
from include.domain.money import ExchangeRate
from include.domain.orders import Order


def find_rates(
    connection: Connection, orders: Mapping[str, tuple[Order, str]], *, oldest: timedelta
) -> dict[str, ExchangeRate]:
    """The rates of these orders, by Amazon order id; without those that have none. `orders`: each with its target.

    It is the rate of the day of purchase (UTC), or the newest before it, `oldest` before it at the most.
    """
    if not orders:
        return {}
    values = {
        "amazon_order_ids": list(orders),
        "from_currencies": [order.currency_code for order, _ in orders.values()],
        "to_currencies": [target for _, target in orders.values()],
        "days": [order.purchased_at.astimezone(UTC).date() for order, _ in orders.values()],
        "most_days": oldest.days,
    }
    return {
        row.amazon_order_id: ExchangeRate(row.from_currency, row.to_currency, row.rate_date, row.rate, row.source)
        for row in connection.execute(load_statements(__file__)["find"], values)
    }
