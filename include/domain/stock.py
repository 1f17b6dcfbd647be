"""Allocates the stock that is free to sell among the orders that want it, oldest purchase first.

Commerce reserves nothing for orders created through its API, so two orders checked one by one could both be given the
last unit. Here every order has its turn, after what older orders of the same run have taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from include.domain.errors import RunIncompleteError

StockKey = tuple[str, int]
"""Shop (Commerce connection) and id of the stock in it."""


@dataclass(frozen=True)
class LineDemand:
    """What one order line wants from the stock of one shop; also a line of an order that waits on Amazon.

    `purchased_at` is aware, UTC, and the same for every line of an order. `is_blocked`: a critical blocker
    other than stock blocks its order already.
    """

    amazon_order_id: str
    amazon_item_id: str
    purchased_at: datetime
    catalog_sku: str
    stock_key: StockKey
    qty: int
    is_stock_required: bool
    is_blocked: bool


def allocate(
    demands: Sequence[LineDemand], free: Mapping[tuple[StockKey, str], Decimal | None]
) -> dict[tuple[str, str], Decimal | None]:
    """How many units are there for each line, by (order id, item id), when its order's turn comes.

    `free` maps (stock key, SKU casefolded, because Commerce compares SKUs without case) to the units free to sell at
    the start, less what is allocated to orders created before; None: not limited.

    The line is short if the result is below its `qty`. None: nothing limits the line, or no stock is required for it,
    or the order is blocked and the stock of the line is not known. A negative rest counts as 0.

    - Turns: oldest `purchased_at` first, then order id; within an order, item id.
    - Lines of one order compete: a line sees the stock less what the order's lines before it have set aside. A line
      that is short sets nothing aside.
    - An order takes what its lines set aside only if no line is short and it is not blocked; otherwise it takes
      nothing, and a newer, smaller order may have it.
    - Lines without required stock take nothing: their goods do not come from this stock.

    Raises RunIncompleteError if the stock of a line that needs it is not in `free`: it may not pass unchecked.
    """
    orders: dict[str, list[LineDemand]] = defaultdict(list)
    for demand in demands:
        orders[demand.amazon_order_id].append(demand)

    rest = dict(free)
    available: dict[tuple[str, str], Decimal | None] = {}
    for lines in sorted(orders.values(), key=lambda lines: (lines[0].purchased_at, lines[0].amazon_order_id)):
        set_aside: dict[tuple[StockKey, str], Decimal] = defaultdict(Decimal)
        is_creatable = True
        for line in sorted(lines, key=lambda line: line.amazon_item_id):
            is_creatable = is_creatable and not line.is_blocked
            key = (line.stock_key, line.catalog_sku.casefold())
            line_key = (line.amazon_order_id, line.amazon_item_id)
            units = _units(line, key, rest)
            if units is None:
                available[line_key] = None
                continue
            units = max(units - set_aside[key], Decimal(0))
            available[line_key] = units
            if units >= line.qty:
                set_aside[key] += line.qty
            else:
                is_creatable = False
        if is_creatable:
            for key, taken in set_aside.items():
                units = rest[key]
                rest[key] = None if units is None else units - taken
    return available


def _units(
    line: LineDemand, key: tuple[StockKey, str], rest: Mapping[tuple[StockKey, str], Decimal | None]
) -> Decimal | None:
    if not line.is_stock_required:
        return None
    if key not in rest and not line.is_blocked:
        raise RunIncompleteError(
            f"Stock of product {line.catalog_sku} is not known for order {line.amazon_order_id}. "
            "Resolution: none; the next try asks Commerce again."
        )
    return rest.get(key)
