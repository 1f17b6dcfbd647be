"""Shipments are read by change: a run costs what changed, and one bad thing delays only itself."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError, OrdersError
from local.sandbox.commerce import routes
from local.sandbox.commerce.errors import internal_error
from local.sandbox.commerce.fields import SHIPMENT_COLUMNS
from local.sandbox.commerce.search import bracketed
from local.sandbox.commerce.search import search as search_honestly
from local.sandbox.faults import Fault
from tests.support.commerce_shop import order_entity
from tests.support.orders import order_id
from tests.support.road import SHOP, Road

pytestmark = pytest.mark.usefixtures("plain_rules")

UPS = ("ups", "UPS", "1Z1")
TRAY = {"TRAY-WALNUT": 1}


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def create(road: Road, count: int = 1) -> list[str]:
    """Orders that are in Commerce; their ids."""
    ids = [order_id(number) for number in range(1, count + 1)]
    for one in ids:
        road.buy(one, TRAY)
    road.next_run()
    assert road.value("select count(*) from ops.shipment_sweep") == count
    return ids


def calls(road: Road) -> int:
    return sum(road.sandbox.commerce_faults.calls.values())


def landed(road: Road) -> list[str]:
    return [row.amazon_order_id for row in road.rows("select * from raw.commerce_shipments order by 1, 2")]


def end_watch(road: Road) -> None:
    """No order is in the sweep: what is found now is found by the search."""
    with road.engine.begin() as connection:
        connection.exec_driver_sql("delete from ops.shipment_sweep")


def watermark(road: Road, name: str = "shipments") -> Any:
    return road.value("select watermark from ops.commerce_cursors where name = :name", name=name)


def holds_stock(road: Road, one: str) -> bool:
    found: bool = road.value("select stock_released_at is null from ops.order_outbox where amazon_order_id = :o", o=one)
    return found


def test_a_new_shipment_is_found_by_the_search_when_no_order_is_swept(road: Road) -> None:
    (one,) = create(road)
    foreign = road.sandbox.commerce.add_order(order_entity("foreign"))
    road.extract_commerce_shipments()
    end_watch(road)
    road.pass_time(minutes=10)
    road.sandbox.commerce.ship(one, None, [UPS])
    with road.sandbox.commerce.lock:
        shipment = dict(road.sandbox.commerce.shipments()[0])
        road.sandbox.commerce._shipments[99] = shipment | {"entity_id": 99, "order_id": foreign["entity_id"]}
    before = calls(road)

    counts = road.extract_commerce_shipments()

    assert landed(road) == [one]
    assert counts == {"orders": 0, "shipments": 2, "new_versions": 1, "released": 1}  # shipped whole: complete
    assert calls(road) - before == 2


def test_a_late_shipment_is_found_when_it_was_committed_after_our_search(road: Road) -> None:
    (one,) = create(road)
    road.sandbox.clock.advance(timedelta(hours=5))  # the shop's clock is ahead of ours
    road.extract_commerce_shipments()
    assert abs(watermark(road) - road.sandbox.clock.now()) < timedelta(minutes=1)
    end_watch(road)
    shipment = road.sandbox.commerce.shipment(road.sandbox.commerce.ship(one, None, [UPS]))
    late = watermark(road) - road.settings.shipment_overlap + timedelta(minutes=5)  # committed after our search
    shipment["created_at"] = shipment["updated_at"] = late.strftime("%Y-%m-%d %H:%M:%S")
    road.extract_commerce_shipments()
    assert landed(road) == [one]


def test_a_run_takes_under_20_calls_when_many_orders_are_watched_and_10_are_shipped(road: Road) -> None:
    ids = create(road, 12)
    road.extract_commerce_shipments()
    watch_many(road, 2_000)
    road.pass_time(minutes=10)
    for one in ids[:10]:
        road.sandbox.commerce.ship(one, None, [UPS])
    before = calls(road)

    road.extract_commerce_shipments()

    assert sorted(landed(road)) == sorted(ids[:10])
    assert calls(road) - before < 20


def watch_many(road: Road, count: int) -> None:
    """Watched orders that Commerce does not know; they were read before those of the test."""
    order = "'amazon_order_id', '999-' || n"
    linked = f"{order}, 'commerce_order_id', 1000000 + n, 'increment_id', 'x' || n"
    with road.engine.begin() as connection:
        for table, changes in (("core.orders", order), ("ops.order_outbox", linked)):
            connection.exec_driver_sql(f"""
                insert into {table}
                select (jsonb_populate_record(known, jsonb_build_object({changes}))).*
                from {table} as known, generate_series(1, {count}) as n
                where known.amazon_order_id = '{order_id(1)}'
            """)
        connection.exec_driver_sql(f"""
            insert into ops.shipment_sweep
            select '999-' || n, now() - interval '1 day' from generate_series(1, {count}) as n
        """)


def test_every_order_is_swept_in_turn_when_they_are_too_many_for_one_run(road: Road) -> None:
    (one,) = create(road)
    shipment = road.sandbox.commerce.ship(one, None, [])
    road.extract_commerce_shipments()
    watch_many(road, 600)
    road.pass_time(minutes=40)
    road.sandbox.commerce.add_track(shipment, UPS)
    swept = [road.extract_commerce_shipments()["orders"] for _ in range(3)]
    assert swept == [250, 250, 250]  # the third portion has the order itself and begins again
    assert road.value("select count(*) from raw.commerce_shipments") == 2
    assert road.value("select jsonb_array_length(payload -> 'tracks') from raw.commerce_shipments"
                      " order by fetched_at desc limit 1") == 1  # fmt: skip


def test_the_others_land_when_commerce_fails_for_one_order(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = create(road, 5)
    road.extract_commerce_shipments()
    for one in ids:
        road.sandbox.commerce.ship(one, None, [UPS])
    bad = road.value("select commerce_order_id from ops.order_outbox where amazon_order_id = :id", id=ids[2])
    fail_for(monkeypatch, lambda query: "order_id" in query and bad in query["order_id"].split(","))
    with road.engine.begin() as connection:  # the search finds nothing: the sweep alone
        connection.exec_driver_sql("update ops.commerce_cursors set watermark = now() + interval '1 day'")

    with pytest.raises(OrdersError, match=ids[2]) as caught:
        road.extract_commerce_shipments()

    assert sorted(landed(road)) == sorted(set(ids) - {ids[2]})
    assert not any(one in str(caught.value) for one in ids if one != ids[2])
    monkeypatch.undo()
    road.extract_commerce_shipments()
    assert sorted(landed(road)) == sorted(ids)


def test_the_search_finds_the_others_when_commerce_fails_for_one_shipment(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = create(road, 3)
    road.extract_commerce_shipments()
    end_watch(road)
    moments = []
    for one in ids:
        road.pass_time(minutes=2)
        shipment = road.sandbox.commerce.shipment(road.sandbox.commerce.ship(one, None, [UPS]))
        moments.append(shipment["updated_at"])
    fail_for(
        monkeypatch,
        lambda query: (
            "order_id" not in query
            and query.get("updated_at gteq", "9") <= moments[1] < query.get("updated_at lt", "9")
        ),
    )

    with pytest.raises(OrdersError, match=moments[1]):
        road.extract_commerce_shipments()

    assert sorted(landed(road)) == [ids[0], ids[2]]


def fail_for(monkeypatch: pytest.MonkeyPatch, is_bad: Any) -> None:
    """The shop answers 500 to each search of shipments whose filters (by field, and by field and condition) are bad."""

    def search(documents: Any, query: Any, columns: Any) -> Any:
        if columns is SHIPMENT_COLUMNS:
            criteria = bracketed(query, "searchCriteria")
            filters = [one for group in criteria["filter_groups"].values() for one in group["filters"].values()]
            given = {one["field"]: one["value"] for one in filters}
            given |= {f"{one['field']} {one['condition_type']}": one["value"] for one in filters}
            if is_bad(given):
                raise internal_error()
        return search_honestly(documents, query, columns)

    monkeypatch.setattr(routes, "search", search)


def test_the_rest_of_a_page_lands_when_a_shipment_cannot_be_read(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    ids = create(road, 2)
    bad = road.sandbox.commerce.ship(ids[0], None, [UPS])
    road.sandbox.commerce.ship(ids[1], None, [UPS])
    with road.sandbox.commerce.lock:
        road.sandbox.commerce.shipment(bad)["tracks"][0]["track_number"] = "1Z\0"
    with caplog.at_level(logging.WARNING):
        road.extract_commerce_shipments()
    assert landed(road) == [ids[1]]
    order = road.sandbox.commerce.shipment(bad)["order_id"]
    assert f"shipment {bad} of order {order} cannot be read" in caplog.text


def test_the_shop_is_left_alone_when_it_is_down(road: Road) -> None:
    create(road)
    road.sandbox.commerce_faults.add(Fault("*", "html_503", times=50))
    before = calls(road)
    with pytest.raises(OrdersError, match=SHOP):
        road.extract_commerce_shipments()
    assert calls(road) - before <= 2


def test_nothing_is_advanced_when_the_shop_refuses_our_credentials(road: Road) -> None:
    create(road)
    road.extract_commerce_shipments()
    before = watermark(road)
    road.pass_time(minutes=10)
    road.sandbox.commerce_faults.add(Fault("searchShipments", "expired_token"))
    with pytest.raises(MisconfiguredError, match="credentials"):
        road.extract_commerce_shipments()
    assert watermark(road) == before


def test_stock_is_free_again_when_an_order_is_shipped_whole(road: Road) -> None:
    road.buy(order_id(1), {"TRAY-WALNUT": 2})
    road.next_run()
    item = road.sandbox.commerce.orders()[0]["items"][0]["ext_order_item_id"]
    road.sandbox.commerce.ship(order_id(1), {item: Decimal(1)}, [UPS])
    road.shipments_run()
    assert holds_stock(road, order_id(1))
    road.sandbox.commerce.ship(order_id(1), None, [UPS])
    road.shipments_run()
    assert not holds_stock(road, order_id(1))


@pytest.mark.parametrize("is_swept", [True, False])
@pytest.mark.parametrize("state", ["complete", "closed", "canceled"])
def test_stock_is_free_again_when_the_order_has_ended_in_commerce(road: Road, state: str, is_swept: bool) -> None:
    one, other = create(road, 2)
    road.extract_commerce_shipments()
    assert holds_stock(road, one)
    if not is_swept:
        end_watch(road)
    road.pass_time(days=30)
    order = road.sandbox.commerce.order_by_ext_id(one)[0]
    road.shop.set_status(road.shop.order(str(order["entity_id"])), state=state, status=state)
    road.extract_commerce_shipments()
    assert (holds_stock(road, one), holds_stock(road, other)) == (False, True)


def test_an_order_is_read_a_last_time_when_it_was_finished_long_ago(road: Road) -> None:
    (one,) = create(road)
    with road.engine.begin() as connection:
        connection.exec_driver_sql(
            "update core.orders set pipeline_state = 'completed', amazon_last_updated_at = now() - interval '40 days'"
        )
    assert road.extract_commerce_shipments()["orders"] == 1
    assert road.value("select count(*) from ops.shipment_sweep") == 0
    assert road.extract_commerce_shipments()["orders"] == 0
    road.pass_time(minutes=10)
    road.sandbox.commerce.ship(one, None, [UPS])
    road.shipments_run()
    assert landed(road) == [one]
    assert not holds_stock(road, one)
