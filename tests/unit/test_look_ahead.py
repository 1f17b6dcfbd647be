"""Looking up many orders with one request: of whom it speaks, for how long, and what follows when it fails."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from include.domain.errors import OrdersError, RefusedError, ThrottledError, UnavailableError
from include.outbox.look_ahead import GOOD_FOR, LookAhead, LookAheadError

SHOP = "commerce_api"
IDS = [f"order-{number}" for number in range(120)]


class Shop:
    """Answers every request with nothing found; `error`: fails."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.error: OrdersError | None = None

    def find_orders_of(self, ext_order_ids: Collection[str]) -> dict[str, list[Any]]:
        self.asked.append(list(ext_order_ids))
        if self.error is not None:
            raise self.error
        return {one: [] for one in ext_order_ids}


@pytest.fixture
def shop() -> Any:
    return Shop()


def test_fifty_are_asked_for_at_once_and_none_twice(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS})
    assert [ahead.look_up(SHOP, shop, one) for one in IDS] == [[]] * len(IDS)
    assert shop.asked == [IDS[:50], IDS[50:100], IDS[100:]]


def test_neighbors_are_asked_for_when_orders_come_up_in_another_sequence(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS[:4]})
    for one in (IDS[2], IDS[0], IDS[3], IDS[1]):
        assert ahead.look_up(SHOP, shop, one) == []
    assert shop.asked == [IDS[:4]]


def test_an_answer_that_is_too_old_is_asked_for_again_for_those_that_are_left(shop: Any) -> None:
    now = [0.0]
    ahead = LookAhead({SHOP: IDS[:4]}, seconds=lambda: now[0])
    ahead.look_up(SHOP, shop, IDS[0])
    now[0] = GOOD_FOR + 1
    assert ahead.look_up(SHOP, shop, IDS[1]) == []
    assert shop.asked == [IDS[:4], IDS[1:4]]


def test_an_order_that_was_ever_sent_is_looked_up_by_itself(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS[:4]})
    assert ahead.look_up(SHOP, shop, "was sent before") is None
    assert ahead.look_up("another_shop", shop, IDS[0]) is None
    assert shop.asked == []


def test_one_order_alone_is_looked_up_by_itself(shop: Any) -> None:
    assert LookAhead({SHOP: IDS[:1]}).look_up(SHOP, shop, IDS[0]) is None
    assert shop.asked == []


def test_each_learns_of_a_failed_request_once_and_is_then_looked_up_by_itself(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS[:3]})
    shop.error = UnavailableError("the server failed")
    for one in IDS[:3]:
        with pytest.raises(LookAheadError, match="the server failed"):
            ahead.look_up(SHOP, shop, one)
    assert [ahead.look_up(SHOP, shop, one) for one in IDS[:3]] == [None, None, None]
    assert shop.asked == [IDS[:3]]


def test_each_is_looked_up_by_itself_when_the_shop_refuses_the_request(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS[:3]})
    shop.error = RefusedError("refused", code="400")
    assert [ahead.look_up(SHOP, shop, one) for one in IDS[:3]] == [None, None, None]
    assert len(shop.asked) == 1


def test_a_throttled_request_is_sent_again_later(shop: Any) -> None:
    ahead = LookAhead({SHOP: IDS[:3]})
    shop.error = ThrottledError("throttled", timedelta(seconds=1))
    with pytest.raises(ThrottledError):
        ahead.look_up(SHOP, shop, IDS[0])
    shop.error = None
    assert ahead.look_up(SHOP, shop, IDS[0]) == []
