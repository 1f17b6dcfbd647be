"""One unit on Amazon that is several in the catalog: ordered, reserved, shipped and credited by the right units."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from include.domain.stores import Pack
from local.sandbox.faults import Fault
from local.sandbox.scenario.orders import canceled_line
from tests.support.foreign_order import a_commerce_order_like, findings
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER = order_id(1), order_id(2)
TRAY, PACK3 = "TRAY-WALNUT", "TRAY-PACK-3"
US_STOCK = 1
ONE, TWO = ("ups", "UPS", "1ZONE"), ("ups", "UPS", "1ZTWO")


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    road.change_store("Acme US", sku_map={PACK3: Pack(TRAY, 3)})
    return road


def in_shop(road: Road, amazon_order_id: str = ORDER) -> Any:
    (order,) = road.sandbox.commerce.order_by_ext_id(amazon_order_id)
    return order


def item_id(road: Road) -> str:
    (line,) = road.sandbox.amazon.order(ORDER)["orderItems"]
    return str(line["orderItemId"])


def ship(road: Road, units: int, *tracks: tuple[str, str, str]) -> None:
    """The warehouse ships these units of the catalog's product; then the shipments' DAG runs until Amazon shows it."""
    road.sandbox.commerce.ship(ORDER, {item_id(road): Decimal(units)}, tracks)
    for _ in range(2):
        road.pass_time(minutes=10)
        road.shipments_run()


def packages(road: Road) -> list[tuple[str, int]]:
    """What Amazon has: tracking number and units of each package."""
    return [
        (one["trackingNumber"], sum(item["quantity"] for item in one["packageItems"]))
        for one in road.sandbox.amazon.order(ORDER).get("packages", [])
    ]


def test_row_total_is_amazons_when_the_price_of_a_pack_cannot_be_divided(road: Road) -> None:
    road.buy(ORDER, {PACK3: 2})
    road.next_run()
    order = in_shop(road)
    (item,) = order["items"]
    assert (item["sku"], int(item["qty_ordered"])) == (TRAY, 6)
    assert (item["price"], item["row_total"]) == (Decimal("3.3333"), Decimal(20))
    assert order["grand_total"] == order["total_invoiced"] == Decimal(20)
    assert int(order["total_qty_ordered"]) == 6
    assert f"2 x {PACK3} on Amazon: 6 x {TRAY}." in order["status_histories"][0]["comment"]


def test_two_lines_are_ordered_when_two_amazon_skus_are_one_product(road: Road) -> None:
    road.change_store("Acme US", sku_map={PACK3: Pack(TRAY, 3), "OLD-TRAY": TRAY})
    road.buy(ORDER, {PACK3: 1, "OLD-TRAY": 2})
    road.next_run()
    lines = [(item["sku"], int(item["qty_ordered"]), item["row_total"]) for item in in_shop(road)["items"]]
    assert lines == [(TRAY, 3, Decimal(10)), (TRAY, 2, Decimal(20))]


def test_stock_is_allocated_by_the_catalogs_units_when_packs_are_sold(road: Road) -> None:
    road.sandbox.commerce.set_quantity(TRAY, US_STOCK, Decimal(5))
    road.buy(ORDER, {PACK3: 2})
    road.buy(OTHER, {PACK3: 1})
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["out_of_stock"]
    assert "6 needed, 5 free to sell" in road.shown(ORDER).order_notes
    assert road.shown(OTHER).commerce_order_number is not None
    road.sandbox.commerce.set_quantity(TRAY, US_STOCK, Decimal(8))
    road.next_run()
    assert "6 needed, 5 free to sell" in road.shown(ORDER).order_notes, "three are for the other order"
    road.sandbox.commerce.set_quantity(TRAY, US_STOCK, Decimal(9))
    road.next_run()
    assert int(in_shop(road)["items"][0]["qty_ordered"]) == 6


def test_amazon_gets_its_own_units_when_packs_are_shipped_whole(road: Road) -> None:
    road.buy(ORDER, {PACK3: 2})
    road.next_run()
    ship(road, 3, ONE)
    assert packages(road) == [("1ZONE", 1)]
    ship(road, 3, TWO)
    road.settle()
    assert packages(road) == [("1ZONE", 1), ("1ZTWO", 1)]
    assert (road.shown(ORDER).status, findings(road)) == ("Completed", [])
    assert road.value("select stock_released_at is not null from ops.order_outbox")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([2, 1, 3], [[], [("1Z1", 1)], [("1Z1", 1), ("1Z2", 1)]]),
        ([4, 2], [[("1Z0", 1)], [("1Z0", 1), ("1Z1", 1)]]),
        ([1, 5], [[], [("1Z1", 2)]]),
    ],
)
def test_pack_counts_with_its_last_part_when_it_is_shipped_in_parts(
    road: Road, parts: list[int], expected: list[list[tuple[str, int]]]
) -> None:
    road.buy(ORDER, {PACK3: 2})
    road.next_run()
    shipped = 0
    for number, (part, wanted) in enumerate(zip(parts, expected, strict=True)):
        ship(road, part, ("ups", "UPS", f"1Z{number}"))
        shipped += part
        assert packages(road) == wanted
        assert findings(road) == (["split_pack"] if shipped % 3 else [])
    road.settle()
    assert (road.shown(ORDER).status, packages(road)) == ("Completed", expected[-1])


def test_operator_is_told_what_is_missing_when_a_part_of_a_pack_is_shipped(road: Road) -> None:
    road.buy(ORDER, {PACK3: 1})
    road.next_run()
    ship(road, 2, ONE)
    assert road.shown(ORDER).order_notes.startswith(
        f"Commerce has shipped only a part of a pack: 2 of the 3 units of {PACK3}. Ship the rest in Commerce; Amazon "
        "learns of a pack once all of it is shipped."
    )
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}})
    road.next_run()
    road.shipments_run()
    assert findings(road) == [], "confirmed in Seller Central"


def test_both_shipments_reach_amazon_when_they_are_found_in_one_run(road: Road) -> None:
    road.buy(ORDER, {PACK3: 2})
    road.next_run()
    road.sandbox.commerce.ship(ORDER, {item_id(road): Decimal(4)}, [ONE])
    ship(road, 2, TWO)
    assert packages(road) == [("1ZONE", 1), ("1ZTWO", 1)]
    road.sandbox.commerce.add_track(1, ("ups", "UPS", "1ZLATE"))  # the first shipment is staged once more
    for _ in range(3):
        road.pass_time(minutes=10)
        road.shipments_run()
    assert packages(road) == [("1ZONE", 1), ("1ZTWO", 1)]


def test_all_units_of_a_pack_are_credited_when_amazon_cancels_one(road: Road) -> None:
    road.buy(ORDER, {PACK3: 3})
    road.next_run()
    ship(road, 4, ONE)
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(item_id(road), 2)]})
    road.next_run()
    (item,) = in_shop(road)["items"]
    assert int(item["qty_refunded"]) == 3
    assert f"Amazon canceled 1 unit of {PACK3}; taken off Commerce order" in road.shown(ORDER).order_notes
    ship(road, 2, TWO)
    road.settle()
    assert packages(road) == [("1ZONE", 1), ("1ZTWO", 1)]
    assert in_shop(road)["state"] == "complete"
    assert road.sandbox.commerce.mails == []


def test_packs_are_counted_as_they_were_sent_when_the_map_changes_before_the_answer_is_found(road: Road) -> None:
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    road.buy(ORDER, {PACK3: 2})
    road.run_as_airflow()
    assert road.value("select state from ops.order_outbox") == "in_doubt"
    road.change_store("Acme US", sku_map={PACK3: Pack(TRAY, 2)})
    road.run_as_airflow()
    assert road.value("select state from ops.order_outbox") == "adopted"
    ship(road, 3, ONE)
    assert packages(road) == [("1ZONE", 1)]
    assert road.value("select commerce_qty from core.order_items") == 2


def test_line_is_matched_by_the_catalogs_units_when_a_person_entered_the_order(road: Road) -> None:
    road.change_store("Acme US", sku_map={PACK3: Pack(TRAY, 2)})
    road.buy(ORDER, {PACK3: 1})
    a_commerce_order_like(road, ORDER)  # two trays
    road.next_run()
    (row,) = road.rows("select commerce_item_id, commerce_qty, pack_units from core.order_items")
    assert (row.commerce_item_id is not None, row.commerce_qty, row.pack_units) == (True, 1, 2)
    assert findings(road) == []


def test_waiting_order_is_not_checked_again_when_only_the_map_changes(road: Road) -> None:
    road.buy(ORDER, {PACK3: 1}, status="PENDING")
    road.buy(OTHER, {"UNKNOWN": 1})
    road.next_run()
    before = road.value("select loaded_at from core.orders where amazon_order_id = :id", id=ORDER)
    road.change_store("Acme US", sku_map={"UNKNOWN": TRAY})
    road.next_run()
    assert road.value("select loaded_at from core.orders where amazon_order_id = :id", id=ORDER) == before
    assert road.shown(OTHER).commerce_order_number is not None


@pytest.mark.parametrize("is_in_file", [True, False])
def test_table_maps_a_sku_when_the_stores_file_does_not(road: Road, is_in_file: bool) -> None:
    road.change_store("Acme US", sku_map={PACK3: Pack(TRAY, 2)} if is_in_file else {})
    road.buy(ORDER, {PACK3: 1})
    road.buy(OTHER, {"UNKNOWN": 1})
    road.stage_stores()
    with road.engine.begin() as connection:
        connection.execute(
            text("insert into core.sku_map (store_name, seller_sku, commerce_sku, quantity) values (:s, :a, :c, 5)"),
            {"s": "Acme US", "a": PACK3, "c": TRAY},
        )
    road.next_run()
    (item,) = in_shop(road)["items"]
    assert (item["sku"], int(item["qty_ordered"])) == (TRAY, 2 if is_in_file else 5)
    assert road.shown(OTHER).blocker_codes == ["missing_product"]
