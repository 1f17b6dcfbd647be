"""The facts for analysts: complete, current after every step, free of personal data, and there for old orders, too."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.database.tables.facts import FACTS
from include.steps import publish_recent_orders
from local.sandbox.scenario.orders import canceled_line
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id, with_every_personal_field
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
MIGRATION = Path(__file__).parents[2] / "include" / "database" / "migrations" / "versions" / "0021_facts.sql"
SOURCES = {
    "fct_orders": "core.orders",
    "fct_order_items": "core.order_items",
    "fct_order_status_changes": "core.order_status_changes",
    "fct_order_blockers": "ops.blocker_episodes",
    "fct_shipments": "ops.shipment_outbox",
}


def write(road: Road, statement: str, **values: Any) -> None:
    with road.engine.begin() as connection:
        connection.execute(text(statement), values)


def fact(road: Road, columns: str, table: str = "fct_orders", where: str = "true") -> Any:
    (row,) = road.rows(f"select {columns} from reporting.{table} where {where}")
    return tuple(row)


def items_of(road: Road) -> list[str]:
    return [item["orderItemId"] for item in road.sandbox.amazon.order(ORDER)["orderItems"]]


def rewritten(road: Road) -> dict[str, int]:
    """How many rows of each fact were not what is known of the orders, found by publishing every order."""
    write(road, "insert into ops.orders_to_publish (amazon_order_id) select amazon_order_id from core.orders")
    publish_recent_orders.run(road.engine, now=road.now(), dag_run_id="again")
    counts = {table.name: f"select count(*) from {table.fullname} where dag_run_id = 'again'" for table in FACTS}
    return {name: found for name, query in counts.items() if (found := road.value(query))}


def test_facts_are_complete_and_current_when_the_whole_scenario_has_run(full_road: Road) -> None:
    """Of lines and status changes no trigger tells the publisher: it relies on the steps to touch the order as well."""
    full_road.orders_run()
    full_road.shipments_run()
    full_road.pass_time(minutes=30)
    full_road.orders_run()
    full_road.shipments_run()
    for fact_table, source in SOURCES.items():
        count = full_road.value(f"select count(*) from {source}")
        assert count and count == full_road.value(f"select count(*) from reporting.{fact_table}"), fact_table
    assert rewritten(full_road) == {}
    assert full_road.rows("select * from reporting.fct_order_status_changes where not is_allowed") == []
    wrong = full_road.rows(
        "select amazon_order_id from reporting.fct_orders inner join reporting.dim_marketplaces using (marketplace_id)"
        " where canceled_qty = 0 and grand_total_amount <> item_amount - discount_amount + shipping_amount"
        " + gift_wrap_amount + other_amount + case when has_prices_with_tax then 0 else tax_amount end"
    )
    odd = "select amazon_order_id from core.orders where grand_total_amount <> line_total_amount"
    assert {row[0] for row in wrong} <= {row[0] for row in full_road.rows(odd)}


def test_day_is_that_of_the_marketplace_when_the_clocks_change(road: Road) -> None:
    """In Los Angeles clocks went back on 2026-11-01: a day of 25 hours, of which UTC cuts off the last eight."""
    for number, at in enumerate(("2026-11-01T06:59", "2026-11-01T07:00", "2026-11-02T07:59", "2026-11-02T08:00")):
        road.buy(order_id(number + 1), {"TRAY-WALNUT": 1})
        road.sandbox.amazon.apply(order_id(number + 1), {"createdTime": f"{at}:00Z"})
    road.pass_time(minutes=5)
    road.orders_run()
    days = [str(row[0]) for row in road.rows("select purchased_on from reporting.fct_orders order by purchased_at")]
    assert days == ["2026-10-31", "2026-11-01", "2026-11-01", "2026-11-02"]
    items = road.rows("select purchased_on from reporting.fct_order_items order by purchased_at")
    assert [str(row[0]) for row in items] == days


def test_who_canceled_is_known_when_amazon_says_it(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 3, "MUG-STONE-BLUE": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    assert fact(road, "canceled_by, canceled_qty, item_amount") == (None, 0, 40)
    line, other = items_of(road)
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(line, 1, by="MERCHANT")]})
    road.pass_time(minutes=10)
    road.orders_run()
    assert fact(road, "canceled_by, canceled_qty, item_amount, is_canceled") == ("MERCHANT", 2, 40, False)
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(other, 0, by="BUYER")]})
    road.pass_time(minutes=10)
    road.orders_run()
    assert fact(road, "canceled_by, canceled_qty, item_amount") == ("several", 3, 30)
    assert road.value("select canceled_by from core.order_items where amazon_item_id = :one", one=other) == "BUYER"


def test_who_canceled_is_read_from_the_documents_when_the_version_before_did_not_keep_it(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 2})
    (line,) = items_of(road)
    road.sandbox.amazon.apply(ORDER, {"orderItems": [canceled_line(line, 1, by="AMAZON")]})
    road.pass_time(minutes=5)
    road.orders_run()
    write(road, "update core.order_items set canceled_by = null")
    migration = MIGRATION.read_text(encoding="utf-8")
    with road.engine.begin() as connection:
        connection.exec_driver_sql(migration[migration.index("update core.order_items") :])
    assert road.value("select canceled_by from core.order_items") == "AMAZON"


def test_change_is_flagged_when_amazon_goes_back(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1}, status="SHIPPED")
    road.pass_time(minutes=5)
    road.orders_run()
    for status in ("UNSHIPPED", "TELEPORTED"):
        road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": status}})
        road.pass_time(minutes=10)
        road.orders_run()
    found = road.rows(
        "select from_code, to_code, is_allowed from reporting.fct_order_status_changes"
        " where system_code = 'amazon' order by changed_at"
    )
    assert [tuple(row) for row in found] == [
        (None, "SHIPPED", True), ("SHIPPED", "UNSHIPPED", False), ("UNSHIPPED", "TELEPORTED", None)
    ]  # fmt: skip


def test_rows_of_a_line_leave_when_the_line_leaves(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1, "NONE": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    assert fact(road, "count(*)", "fct_order_items") == (2,)
    write(road, "delete from core.order_items where seller_sku = 'NONE'")
    write(road, "update core.orders set item_count = 1")
    road.publish_recent_orders()
    assert fact(road, "seller_sku", "fct_order_items") == ("TRAY-WALNUT",)


def test_facts_are_written_for_old_orders_when_a_release_brings_them(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch by batch: what a publisher that died had done stays done."""
    for number in range(5):
        road.buy(order_id(number + 1), {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    for table in FACTS:
        write(road, f"delete from {table.fullname}")
    write(road, "update ops.published_rules set rules_sha256 = 'those of the version before'")
    monkeypatch.setattr(publish_recent_orders, "BATCH_SIZE", 2)
    done: list[int] = []
    facts = publish_recent_orders.write_facts

    def dies_in_the_second_batch(*arguments: Any) -> int:
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt
        return facts(*arguments)

    monkeypatch.setattr(publish_recent_orders, "write_facts", dies_in_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        road.publish_recent_orders()
    assert fact(road, "count(*)") == (2,)
    road.publish_recent_orders()
    assert fact(road, "count(*)") == (5,)
    assert fact(road, "count(*)", "fct_order_items") == (5,)
    assert len(done) == 4, "the first batch was not done again"


def test_dimensions_follow_the_settings_when_they_change(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    assert fact(road, "time_zone, currency_code", "dim_marketplaces", "country_code = 'US'") == (
        "America/Los_Angeles", "USD"
    )  # fmt: skip
    assert fact(road, "count(*)", "dim_stores") == (road.value("select count(*) from core.stores"),)
    assert fact(road, "distinct risk_code", "ship_by_risk") == ("on_track",)
    publish_recent_orders.run(road.engine, now=road.now(), dag_run_id="x", at_risk=timedelta(hours=60))
    assert fact(road, "distinct at_risk_hours", "dim_stores") == (60,)
    assert fact(road, "distinct risk_code", "ship_by_risk") == ("at_risk",)
    loaded = "select max(loaded_at) from reporting.dim_stores"
    before = road.value(loaded)
    publish_recent_orders.run(
        road.engine, now=road.now() + timedelta(hours=1), dag_run_id="y", at_risk=timedelta(hours=60)
    )
    assert road.value(loaded) == before, "nothing changed, nothing is written"


def test_no_personal_data_is_in_reporting_when_an_order_has_all_of_it(road: Road) -> None:
    document = with_every_personal_field(amazon_order(ORDER, {"TRAY-WALNUT": 1, "NONE": 1}))
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.pass_time(minutes=5)
    road.orders_run()
    relations = road.rows(
        "select table_name from information_schema.tables where table_schema = 'reporting' order by table_name"
    )
    assert len(relations) > 15
    found = {
        name: json.dumps([row[0] for row in road.rows(f"select to_jsonb(t) from reporting.{name} as t")], default=str)
        for (name,) in relations
    }
    assert ORDER in found["fct_orders"] and ORDER in found["order_timeline"]
    for name, content in found.items():
        leaked = [marker for marker in MARKERS.values() if json.dumps(marker)[1:-1] in content]
        assert not leaked and "kwz" not in content.lower(), f"{name}: {leaked}"
