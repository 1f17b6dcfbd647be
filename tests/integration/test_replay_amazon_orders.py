"""Core is rebuilt from raw: the differences first, and nothing that later steps or people know is undone."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import text

from include.domain.errors import MisconfiguredError
from include.steps import repair_amazon_order, replay_amazon_orders
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

FIRST, SECOND, THIRD = order_id(1), order_id(2), order_id(3)
TRAY, UNKNOWN = "TRAY-WALNUT", "NOT-IN-THE-CATALOG"
CORE = ("core.orders", "core.order_items", "core.order_status_changes", "ops.order_outbox", "ops.blocker_episodes")


@pytest.fixture
def road(road: Road) -> Road:
    """Three orders: created, blocked, and left out by a person."""
    road.with_account("acme-na")
    road.buy(FIRST, {TRAY: 2})
    road.buy(SECOND, {UNKNOWN: 1})
    road.buy(THIRD, {UNKNOWN: 1})
    road.next_run()
    skip = {"amazon_order_id": THIRD, "action": "skip", "comment": "Sold elsewhere."}
    repair_amazon_order.run(
        road.engine,
        road.cipher,
        repair_amazon_order.read_repair(skip),
        is_dry_run=False,
        repaired_by="olga",
        now=road.now(),
        dag_run_id="repair",
    )
    road.run_number += 1
    return road


def replay(road: Road, *, is_dry_run: bool = False, **params: Any) -> dict[str, int]:
    request = replay_amazon_orders.read_request(params, road.stores)
    return replay_amazon_orders.run(road.engine, request, is_dry_run=is_dry_run, now=road.now(), dag_run_id=road.run_id)


def spoil(road: Road, statement: str, **values: Any) -> None:
    """As if an earlier version of this project had read something wrong."""
    with road.engine.begin() as connection:
        connection.execute(text(statement), values)


def differences(road: Road) -> list[tuple[Any, ...]]:
    rows = road.rows(
        "select amazon_order_id, amazon_item_id <> '' as is_line, column_name, before, after, written_at is not null"
        " from ops.replay_differences order by 1, 2, 3"
    )
    return [tuple(row) for row in rows]


def core(road: Road) -> dict[str, Any]:
    dump = road.dump()
    return {name: dump[name] for name in CORE}


def test_nothing_changes_when_core_is_what_raw_says(road: Road) -> None:
    before = core(road)
    assert replay(road) == {"orders": 3, "different": 0, "written": 0, "refused": 0}
    assert core(road) == before
    assert differences(road) == []


def test_differences_are_listed_and_nothing_is_written_when_dry(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spoil(road, "update core.orders set service_level = 'Wrong' where amazon_order_id = :id", id=FIRST)
    spoil(road, "update core.order_items set title = 'Wrong', item_amount = 1 where amazon_order_id = :id", id=SECOND)
    before = core(road)
    assert replay(road, is_dry_run=True) == {"orders": 3, "different": 2, "written": 0, "refused": 0}
    assert core(road) == before
    assert [row[:4] + row[5:] for row in differences(road)] == [
        (FIRST, False, "service_level", "Wrong", False),
        (SECOND, True, "item_amount", "1.0000", False),
        (SECOND, True, "title", "Wrong", False),
    ]
    assert f"order={FIRST} service_level: Wrong -> " in caplog.text
    assert "dry run, core was not changed: orders=3 different=2" in caplog.text


def test_core_is_as_before_when_it_was_spoiled_and_is_replayed(road: Road) -> None:
    good = road.rows("select * from core.orders order by 1"), road.rows("select * from core.order_items order by 1, 2")
    untouched = road.value("select loaded_at from core.orders where amazon_order_id = :id", id=SECOND)
    spoil(road, "update core.orders set service_level = 'Wrong', ordered_qty = 7 where amazon_order_id = :id", id=FIRST)
    spoil(road, "update core.order_items set ordered_qty = 7 where amazon_order_id = :id", id=FIRST)
    spoil(
        road,
        "insert into core.order_items (amazon_order_id, amazon_item_id, line_number, seller_sku, ordered_qty,"
        " fulfilled_qty) values (:id, 'ghost', 9, 'GHOST', 1, 0)",
        id=FIRST,
    )
    assert replay(road) == {"orders": 3, "different": 1, "written": 1, "refused": 0}
    again = road.rows("select * from core.orders order by 1"), road.rows("select * from core.order_items order by 1, 2")
    without = {"loaded_at", "dag_run_id"}
    for one, other in zip(good[0] + good[1], again[0] + again[1], strict=True):
        assert {k: v for k, v in one._mapping.items() if k not in without} == {
            k: v for k, v in other._mapping.items() if k not in without
        }
    assert {row[2] for row in differences(road)} == {"service_level", "ordered_qty", "line"}
    assert all(row[5] for row in differences(road))
    assert road.value("select loaded_at from core.orders where amazon_order_id = :id", id=SECOND) == untouched
    road.run_number += 1
    assert replay(road)["different"] == 0, "once"


def test_old_differences_go_when_history_is_purged(road: Road) -> None:
    spoil(road, "update core.orders set service_level = 'Wrong'")
    replay(road, is_dry_run=True)
    road.purge_operational_history()
    assert len(differences(road)) == 3
    road.pass_time(days=91)
    assert road.purge_operational_history()["replay_differences"] == 3
    assert differences(road) == []


def test_later_knowledge_stays_when_orders_are_rebuilt(road: Road) -> None:
    before = road.rows("select amazon_order_id, pipeline_state, skip_reason from core.orders order by 1")
    links = road.rows("select amazon_item_id, commerce_item_id from core.order_items order by 1")
    assert [row.pipeline_state for row in before] == ["created", "blocked", "not_imported"]
    spoil(road, "update core.orders set service_level = 'Wrong'")
    assert replay(road)["written"] == 3
    assert road.rows("select amazon_order_id, pipeline_state, skip_reason from core.orders order by 1") == before
    assert road.rows("select amazon_item_id, commerce_item_id from core.order_items order by 1") == links
    road.next_run()
    assert len(road.sandbox.commerce.order_by_ext_id(FIRST)) == 1
    assert not road.sandbox.commerce.order_by_ext_id(THIRD)


def test_corrected_sku_stays_when_an_order_is_rebuilt(road: Road) -> None:
    spoil(
        road,
        "update core.orders set sku_map = '{\"A\": \"B\"}', service_level = 'Wrong' where amazon_order_id = :id",
        id=SECOND,
    )
    replay(road)
    assert road.value("select sku_map from core.orders where amazon_order_id = :id", id=SECOND) == {"A": "B"}


def test_order_that_was_left_alone_is_checked_again_when_it_is_read_differently(road: Road) -> None:
    spoil(
        road,
        "update core.orders set amazon_status = 'PENDING', pipeline_state = 'waiting' where amazon_order_id = :id",
        id=SECOND,
    )
    replay(road)
    assert road.value("select pipeline_state from core.orders where amazon_order_id = :id", id=SECOND) == "new"


def test_order_comes_back_when_only_raw_has_it(road: Road) -> None:
    fourth = order_id(4)
    road.buy(fourth, {TRAY: 1})
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    spoil(road, "update ops.ingest_pages set staged_at = now()")
    assert replay(road)["written"] == 1
    road.next_run()
    assert len(road.sandbox.commerce.order_by_ext_id(fourth)) == 1


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ({"amazon_order_ids": [FIRST]}, 1),
        ({"account": "acme-na"}, 3),
        ({"updated_from": "2099-01-01"}, 0),
        ({"updated_to": "2099-01-01T00:00:00+02:00"}, 3),
        ({"updated_to": "2000-01-01"}, 0),
    ],
)
def test_only_the_range_is_read_when_params_limit_it(road: Road, params: dict[str, Any], read: int) -> None:
    assert replay(road, is_dry_run=True, **params)["orders"] == read


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"account": "acme"}, "param account is 'acme', which the stores file does not have"),
        ({"updated_from": "soon"}, "param updated_from is 'soon'"),
        ({"updated_from": "2026-02-01", "updated_to": "2026-01-01"}, "param updated_to is before updated_from"),
        ({"amazon_order_ids": FIRST}, "param amazon_order_ids is no list"),
        ({"amazon_order_ids": [order_id(77)]}, "param amazon_order_ids names no order of which raw has a version"),
    ],
)
def test_replay_is_refused_when_a_param_is_wrong(road: Road, params: dict[str, Any], what: str) -> None:
    with pytest.raises(MisconfiguredError, match=f"{what}.*Resolution: "):
        replay(road, **params)
