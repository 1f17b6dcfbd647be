"""Every step run twice in a row: the tables and the outside world are as after the first time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.domain.errors import RunIncompleteError
from local.sandbox.faults import Fault
from local.sandbox.scenario.orders import canceled_line
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

SHIPPED, PLUS, SPLIT, AMAZONS, PENDING, CANCELED, MISSING, SHORT, DOUBTFUL, REFUSED, CHANGED = map(
    order_id, (*range(1, 11), 12)
)

Dump = dict[str, list[dict[str, Any]]]

# The ledgers of requests are no state of the data path: a step that looks again is a step that asked again.
# An order that is queued again is published once more, to the same effect.
LEDGERS = (
    "ops.api_calls",
    "ops.rate_limits",
    "ops.orders_to_publish",
    "ops.commerce_cursors",
    "ops.shipment_sweep",
)
# Columns that say when a step looked last, and how long that took.
LAST_RUN = {
    "validate_orders": {
        "core.products": {"checked_at"},
        "core.store_views": {"checked_at"},
        "ops.blocker_episodes": {"last_seen_at"},
        "ops.order_outbox": {"updated_at"},
        "ops.validation_results": {"validated_at", "duration_ms"},
    },
}


def create_orders(road: Road) -> None:
    """With one reply lost: that order stays in doubt, and the step says that it is not done."""
    with suppress(RunIncompleteError):
        road.create_commerce_orders()


def amazon_cancels_a_unit(road: Road) -> None:
    """Of an order that Commerce has; the next run notices it."""
    (line,) = road.sandbox.amazon.order(CHANGED)["orderItems"]
    road.sandbox.amazon.apply(CHANGED, {"orderItems": [canceled_line(line["orderItemId"], 1)]})
    road.pass_time(minutes=4)  # the order in doubt is not looked up yet
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    road.validate_orders()


def carry_out_changes(road: Road) -> None:
    create_orders(road)


def warehouse_ships(road: Road) -> None:
    """What the merchant's people do between the two DAGs."""
    road.sandbox.commerce.ship(SHIPPED, None, [("ups", "UPS", "1ZA"), ("ups", "UPS", "1ZB"), ("ups", "UPS", "1ZC")])
    road.sandbox.commerce.ship(PLUS, None, [("ups", "UPS", "1ZD")])
    first_line = road.sandbox.amazon.order(SPLIT)["orderItems"][0]["orderItemId"]
    road.sandbox.commerce.ship(SPLIT, {first_line: Decimal(1)}, [("fedex", "FedEx", "770001")])


def amazon_shows_the_packages(road: Road) -> None:
    road.pass_time(minutes=3)


PATH: list[Callable[[Road], Any]] = [
    Road.stage_stores,
    Road.extract_amazon_orders,
    Road.stage_amazon_orders,
    Road.validate_orders,
    create_orders,
    amazon_cancels_a_unit,
    carry_out_changes,
    warehouse_ships,
    Road.extract_commerce_shipments,
    Road.stage_commerce_shipments,
    Road.push_amazon_shipments,
    amazon_shows_the_packages,
    Road.verify_amazon_shipments,
    Road.publish_recent_orders,
]
STEPS = [step for step in PATH if step not in (amazon_cancels_a_unit, warehouse_ships, amazon_shows_the_packages)]


def buy_one_of_each_kind(road: Road) -> None:
    road.with_account("acme-na")
    at = road.sandbox.clock.now()
    road.buy(SHIPPED, {"TRAY-WALNUT": 1, "DOORMAT-COIR": 1})
    plus = amazon_order(PLUS, at=at)
    plus["programs"] = ["FBM_SHIP_PLUS"]
    plus["orderItems"][0]["product"]["sellerSku"] = "TRAY-WALNUT"
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, plus))
    road.buy(SPLIT, {"DOORMAT-COIR": 2, "TRAY-WALNUT": 1})
    road.buy(AMAZONS, {"TRAY-WALNUT": 1}, status="SHIPPED", fulfilled_by="AMAZON")
    road.buy(PENDING, {"TRAY-WALNUT": 1}, status="PENDING", has_money=False)
    road.buy(CANCELED, {"TRAY-WALNUT": 1}, status="CANCELLED")
    road.buy(MISSING, {"LANTERN-COPPER": 1})
    road.buy(SHORT, {"VASE-GLASS-TALL": 10_000})
    road.buy(DOUBTFUL, {"TRAY-WALNUT": 3})
    road.buy(CHANGED, {"DOORMAT-COIR": 2})
    refused = amazon_order(REFUSED, {"TRAY-WALNUT": 1}, at=at)
    del refused["proceeds"], refused["orderItems"][0]["proceeds"]
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, refused))
    malformed = amazon_order(order_id(11), at=at)
    malformed["orderItems"][0]["quantityOrdered"] = "two"
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, malformed))
    road.pass_time(minutes=10)
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply", about=DOUBTFUL))


def without(dump: Dump, ignored: dict[str, set[str]]) -> Dump:
    return {
        table: [{name: value for name, value in row.items() if name not in ignored.get(table, ())} for row in rows]
        for table, rows in dump.items()
        if table not in LEDGERS
    }


def outside(road: Road) -> dict[str, Any]:
    """What the world can see of us: everything that we wrote to Amazon and to the shop, and how often we tried."""
    commerce, amazon = road.sandbox.commerce, road.sandbox.amazon
    writes = ("createOrder", "invoiceOrder", "commentOrder", "shipOrder", "cancelOrder", "refundOrder", "addTrack")
    return {
        "orders": commerce.orders(),
        "shipments": [dict(shipment) for shipment in commerce.shipments()],
        "mails": list(commerce.mails),
        "confirmations": list(amazon.confirmations),
        "amazon": [amazon.order(one) for one in amazon.order_ids()],
        "calls": {name: road.sandbox.commerce_faults.calls[name] for name in writes}
        | {"confirmShipment": road.sandbox.amazon_faults.calls["confirmShipment"]},
    }


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_nothing_changes_when_a_step_runs_twice(road: Road, step: Callable[[Road], Any]) -> None:
    road.change_settings(window_minimum=timedelta(minutes=1))
    buy_one_of_each_kind(road)
    for before in PATH[: PATH.index(step)]:
        before(road)
        road.new_task()
    first = step(road)
    dump, seen = road.dump(), outside(road)
    assert any(rows for table, rows in dump.items() if table not in LEDGERS)
    road.new_task()

    second = step(road)

    ignored = LAST_RUN.get(step.__name__, {})
    assert without(road.dump(), ignored) == without(dump, ignored)
    assert outside(road) == seen
    if isinstance(first, list):
        assert second == first


def test_every_kind_of_row_is_there_when_the_path_has_been_walked(road: Road) -> None:
    """Guards the test above: it compares something only as long as its orders fill these tables and states."""
    road.change_settings(window_minimum=timedelta(minutes=1))
    buy_one_of_each_kind(road)
    for step in PATH:
        step(road)

    dump = road.dump()
    # The sums per hour come with a purge (test_purge_operational_history.py), the reports of runs with Airflow
    # (test_run_report.py), stops with far too many orders (test_write_holds.py), the others with people
    # (test_repair_amazon_order.py, test_cancel_amazon_order.py, test_backfill_amazon_orders.py,
    # test_replay_amazon_orders.py, test_dry_run.py, test_packs.py, test_converted_orders.py) and bad addresses
    # (test_bad_address.py).
    empty = {table for table, rows in dump.items() if not rows}
    assert empty == {
        "core.sku_map",
        "ops.amazon_feeds",
        "ops.backfill_orders",
        "ops.backfilled_orders",
        "ops.backfills",
        "ops.api_calls_hourly",
        "ops.bad_addresses",
        "ops.cancellation_outbox",
        "ops.dag_runs",
        "ops.dry_run_results",
        "ops.order_repairs",
        "ops.orders_to_publish",  # all are published
        "ops.replay_differences",
        "ops.write_hold_decisions",
        "ops.write_holds",
        "pii.order_corrections",
        "reporting.exchange_rates",
    }
    assert {row["state"] for row in dump["ops.order_outbox"]} == {"created", "in_doubt"}
    assert {row["state"] for row in dump["ops.order_change_outbox"]} == {"done"}
    assert {row["state"] for row in dump["ops.shipment_outbox"]} == {"accepted", "skipped"}
    states = {row["pipeline_state"] for row in dump["core.orders"]}
    assert states == {"created", "in_doubt", "blocked", "waiting", "canceled"}


def test_nothing_changes_when_whole_runs_repeat(road: Road) -> None:
    road.change_settings(refused_attempts=1)  # else the refused one is tried again, as it should be
    buy_one_of_each_kind(road)
    road.orders_run(create=lambda account_name: create_orders(road))
    warehouse_ships(road)
    road.settle()
    dump, seen = road.dump(), outside(road)

    for _ in range(2):
        road.pass_time(minutes=10)
        road.orders_run()
        road.shipments_run()

    looked_again = {
        "core.products": {"checked_at", "dag_run_id"},
        "core.store_views": {"checked_at", "dag_run_id"},
        "ops.blocker_episodes": {"last_seen_at", "check_count", "dag_run_id"},
        "ops.quarantined_orders": {"last_seen_at", "seen_count", "read_count", "next_read_at", "dag_run_id"},
        "ops.ingest_coverage": {"covered", "watermark", "dag_run_id"},
    }
    logs = ("ops.ingest_windows", "ops.ingest_pages", "ops.validation_results")
    after, before = without(road.dump(), looked_again), without(dump, looked_again)
    for table in logs:
        assert len(after.pop(table)) >= len(before.pop(table))
    assert after == before
    assert outside(road) == seen
