"""Stock is shared out by turns, and no unit is allocated twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.domain.errors import RunIncompleteError
from include.domain.stock import LineDemand, StockKey, allocate

SHOP: StockKey = ("commerce_api", 1)
START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


def demand(
    order: str,
    item: str = "1",
    *,
    qty: int = 1,
    sku: str = "MUG",
    minutes: int = 0,
    stock_key: StockKey = SHOP,
    is_stock_required: bool = True,
    is_blocked: bool = False,
) -> LineDemand:
    return LineDemand(
        order, item, START + timedelta(minutes=minutes), sku, stock_key, qty, is_stock_required, is_blocked
    )


def mugs(units: str) -> dict[tuple[StockKey, str], Decimal | None]:
    return {(SHOP, "mug"): Decimal(units)}


def test_oldest_purchase_gets_the_stock_when_it_is_enough_for_one() -> None:
    available = allocate([demand("A", minutes=5), demand("B", minutes=0)], mugs("1"))
    assert available == {("A", "1"): 0, ("B", "1"): 1}


def test_smaller_order_id_gets_the_stock_when_bought_at_the_same_moment() -> None:
    available = allocate([demand("B"), demand("A")], mugs("1"))
    assert available == {("A", "1"): 1, ("B", "1"): 0}


def test_newer_order_gets_the_stock_when_the_older_one_is_too_big() -> None:
    available = allocate([demand("A", qty=5), demand("B", qty=2, minutes=1)], mugs("3"))
    assert available == {("A", "1"): 3, ("B", "1"): 3}


def test_order_takes_nothing_when_another_of_its_lines_is_short() -> None:
    free = {(SHOP, "mug"): Decimal(2), (SHOP, "tea"): Decimal(0)}
    available = allocate([demand("A", "1", qty=2), demand("A", "2", sku="TEA"), demand("B", qty=2, minutes=1)], free)
    assert available == {("A", "1"): 2, ("A", "2"): 0, ("B", "1"): 2}


def test_order_takes_nothing_when_one_of_its_lines_is_blocked() -> None:
    lines = [demand("A", "1", qty=2), demand("A", "2", sku="GONE", is_blocked=True), demand("B", qty=2, minutes=1)]
    assert allocate(lines, mugs("2")) == {("A", "1"): 2, ("A", "2"): None, ("B", "1"): 2}


def test_blocked_line_shows_its_stock_when_it_is_known() -> None:
    """So that a disabled product is found to be short as well."""
    assert allocate([demand("A", qty=3, is_blocked=True)], mugs("2")) == {("A", "1"): 2}


def test_lines_compete_when_one_order_has_the_same_sku_twice() -> None:
    lines = [demand("A", "2", qty=3), demand("A", "1", qty=3, sku="mug"), demand("B", qty=5, minutes=1)]
    assert allocate(lines, mugs("5")) == {("A", "1"): 5, ("A", "2"): 2, ("B", "1"): 5}


def test_short_line_sets_nothing_aside_when_a_later_line_fits() -> None:
    lines = [demand("A", "1", qty=9), demand("A", "2", qty=5)]
    assert allocate(lines, mugs("5")) == {("A", "1"): 5, ("A", "2"): 5}


def test_both_lines_are_taken_when_one_order_has_the_same_sku_twice_and_stock_is_enough() -> None:
    lines = [demand("A", "1", qty=3), demand("A", "2", qty=2), demand("B", minutes=1)]
    assert allocate(lines, mugs("5.5000")) == {
        ("A", "1"): Decimal("5.5"),
        ("A", "2"): Decimal("2.5"),
        ("B", "1"): Decimal("0.5"),
    }


def test_nothing_is_taken_when_stock_is_not_required() -> None:
    lines = [demand("A", qty=2, is_stock_required=False), demand("B", qty=2, minutes=1)]
    assert allocate(lines, mugs("2")) == {("A", "1"): None, ("B", "1"): 2}


def test_every_order_gets_none_when_stock_is_not_limited() -> None:
    assert allocate([demand("A", qty=99), demand("B", qty=99)], {(SHOP, "mug"): None}) == {
        ("A", "1"): None,
        ("B", "1"): None,
    }


def test_nothing_is_available_when_more_is_allocated_than_there_is() -> None:
    assert allocate([demand("A")], mugs("-3")) == {("A", "1"): 0}


@pytest.mark.parametrize("other", [("commerce_api", 2), ("commerce_eu", 1)])
def test_orders_do_not_compete_when_the_stock_is_another(other: StockKey) -> None:
    free = mugs("1") | {(other, "mug"): Decimal(1)}
    assert allocate([demand("A"), demand("B", stock_key=other)], free) == {("A", "1"): 1, ("B", "1"): 1}


def test_run_fails_when_stock_of_a_line_that_needs_it_is_not_known() -> None:
    with pytest.raises(RunIncompleteError, match="TEA"):
        allocate([demand("A", sku="TEA")], mugs("1"))


def test_start_is_left_alone_when_stock_is_taken() -> None:
    free = mugs("1")
    allocate([demand("A")], free)
    assert free == mugs("1")


skus = st.sampled_from(["MUG", "mug", "Tea", "box"])
random_demands = st.lists(
    st.builds(
        demand,
        st.sampled_from("ABCDEFGH"),
        st.sampled_from("123"),
        qty=st.integers(0, 6),
        sku=skus,
        stock_key=st.sampled_from([SHOP, ("commerce_api", 2)]),
        is_stock_required=st.booleans(),
        is_blocked=st.integers(0, 9).map(lambda number: number == 0),
    ),
    unique_by=lambda line: (line.amazon_order_id, line.amazon_item_id),
    max_size=24,
)
random_free = st.fixed_dictionaries(
    {
        (stock, sku): st.one_of(st.none(), st.decimals(-2, 20, places=4))
        for stock in (SHOP, ("commerce_api", 2))
        for sku in ("mug", "tea", "box")
    }
)


@settings(max_examples=300, deadline=None, database=None)
@given(random_demands, random_free)
def test_no_unit_is_allocated_twice_when_orders_are_random(
    lines: list[LineDemand], free: dict[tuple[StockKey, str], Decimal | None]
) -> None:
    """What all creatable orders take fits into the stock; an order that is not creatable would not fit at its turn."""
    available = allocate(lines, free)
    assert available.keys() == {(line.amazon_order_id, line.amazon_item_id) for line in lines}

    limits = {key: None if units is None else max(units, Decimal(0)) for key, units in free.items()}
    orders = defaultdict(list)
    for line in lines:
        orders[line.amazon_order_id].append(line)
    taken: Counter[tuple[StockKey, str]] = Counter()
    for order in sorted(orders):  # all bought at the same moment
        wanted: Counter[tuple[StockKey, str]] = Counter()
        for line in orders[order]:
            if line.is_stock_required:
                wanted[(line.stock_key, line.catalog_sku.casefold())] += line.qty
        fits = all(taken[key] + qty <= limit for key, qty in wanted.items() if (limit := limits[key]) is not None)
        shares = [(line, available[line.amazon_order_id, line.amazon_item_id]) for line in orders[order]]
        assert fits == all(share is None or share >= line.qty for line, share in shares)
        if fits and not any(line.is_blocked for line in orders[order]):
            taken += wanted
    for key, qty in taken.items():
        limit = limits[key]
        assert limit is None or qty <= limit
