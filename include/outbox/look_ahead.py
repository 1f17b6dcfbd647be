"""Looks up many orders in the shop with one request, before they are taken up one by one.

Only of orders that were never sent: no request of ours can be under way for them, so what a look-up shows seconds
before an order is locked is as good as a look-up under its lock. It finds what somebody else has made: an order that a
person has entered, or one that a restored database has forgotten. An order that was or may have been sent is looked up
by itself, after that was committed and under its lock.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder
from include.adapters.commerce.search import BATCH_SIZE
from include.database.tables import order_outbox
from include.domain.errors import RefusedError, ThrottledError, UnavailableError
from include.outbox.order_outbox import DueOrder

GOOD_FOR = 30.0  # seconds from the request to the moment at which the order is taken up


class LookAheadError(UnavailableError):
    """A request about many orders failed: which of them it was about, or all, is not known."""


def never_sent(connection: Connection, rows: Sequence[DueOrder]) -> dict[str, list[str]]:
    """The Amazon order ids of those rows that were never sent and never failed, by shop, in their sequence."""
    outbox = order_outbox.c
    query = select(outbox.amazon_order_id).where(
        outbox.amazon_order_id == any_(literal([row.amazon_order_id for row in rows], ARRAY(Text()))),
        outbox.state == "planned",
        outbox.attempts == 0,
        outbox.failures == 0,
    )
    ids = set(connection.execute(query).scalars())
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.amazon_order_id in ids:
            found[row.system].append(row.amazon_order_id)
    return found


def linked_ids(connection: Connection, order_ids: Sequence[str]) -> dict[str, str]:
    """The ids of the linked Commerce orders, by Amazon order id."""
    outbox = order_outbox.c
    query = select(outbox.amazon_order_id, outbox.commerce_order_id).where(
        outbox.amazon_order_id.in_(order_ids), outbox.commerce_order_id.is_not(None)
    )
    return {row.amazon_order_id: row.commerce_order_id for row in connection.execute(query)}


@dataclass
class _Shop:
    """The orders of one shop in their turn, and what is known of them."""

    turn: list[str]
    place: dict[str, int] = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    answers: dict[str, tuple[float, list[CommerceOrder] | LookAheadError]] = field(default_factory=dict)
    taken_up: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)  # a request about many failed: these are looked up one by one

    def __post_init__(self) -> None:
        self.place = {order_id: place for place, order_id in enumerate(self.turn)}


class LookAhead:
    """Which Commerce orders exist for orders that were never sent. Threads share it."""

    def __init__(
        self, never_sent: Mapping[str, Sequence[str]], *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """`never_sent`: Amazon order ids by shop (Airflow connection), in the sequence in which they come up."""
        self._shops = {shop: _Shop(list(turn)) for shop, turn in never_sent.items()}
        self._seconds = seconds

    def look_up(self, shop_name: str, client: CommerceClient, order_id: str) -> list[CommerceOrder] | None:
        """The Commerce orders for this Amazon order; None: it has to be looked up by itself.

        Raises LookAheadError, once for each of the orders, when the shop does not answer: afterwards they are looked
        up by themselves.
        """
        shop = self._shops.get(shop_name)
        if shop is None or order_id not in shop.place:
            return None
        with shop.lock:  # whoever needs the next fifty waits for the one who asks
            if not self._is_known(shop, order_id) and order_id not in shop.alone:
                self._ask(shop, client, order_id)
            _, answer = shop.answers.pop(order_id, (0.0, None))
            shop.taken_up.add(order_id)
        if isinstance(answer, LookAheadError):
            raise answer
        return answer

    def _is_known(self, shop: _Shop, order_id: str) -> bool:
        return order_id in shop.answers and self._seconds() - shop.answers[order_id][0] <= GOOD_FOR

    def _ask(self, shop: _Shop, client: CommerceClient, order_id: str) -> None:
        """Ask about this order and its neighbors in the sequence that were not taken up yet."""
        shop.answers.pop(order_id, None)
        first = shop.place[order_id] // BATCH_SIZE * BATCH_SIZE
        block = shop.turn[first : first + BATCH_SIZE]
        batch = [one for one in block if one not in shop.alone and one not in shop.taken_up]
        if len(batch) < 2:
            return
        asked_at = self._seconds()
        try:
            found = client.find_orders_of(batch)
        except ThrottledError:
            raise
        except RefusedError:  # of one of them, maybe
            shop.alone.update(batch)
            for one in batch:  # what is known is too old
                shop.answers.pop(one, None)
        except UnavailableError as error:
            shop.alone.update(batch)
            failure = LookAheadError(str(error))
            shop.answers.update({one: (asked_at, failure) for one in batch})
        else:
            shop.answers.update({one: (asked_at, orders) for one, orders in found.items()})
