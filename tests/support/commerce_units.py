"""Reads the units of a Commerce order as the sandbox keeps it."""

from __future__ import annotations

from typing import Any


def units(order: Any, field: str) -> int:
    """How many units of the Commerce order are in this state, such as `qty_shipped`."""
    return sum(int(item.get(field) or 0) for item in order["items"])


def units_left(order: Any) -> int:
    """How many units the warehouse could still ship."""
    return units(order, "qty_ordered") - sum(units(order, f"qty_{way}") for way in ("shipped", "refunded", "canceled"))
