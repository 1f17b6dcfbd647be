"""reporting.recent_orders: shown statuses in the design's order, money, links, notes and blockers, row by row."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.database.engine import make_engine
from include.steps import stage_stores
from local.sandbox.faults import Fault
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.support.road import SHOP, Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}
SHIPPED = {"fulfillment": {"fulfillmentStatus": "SHIPPED"}}
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}
BUYER_REQUEST = {"cancellationRequest": {"requester": "BUYER", "cancelReason": MARKERS["giftMessage"]}}


def sell(road: Road, document: dict[str, Any]) -> None:
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))


def statuses(road: Road) -> list[str]:
    """The order's shown status now, after the next run and after the one after that."""
    found = [road.shown(ORDER).status]
    for _ in range(2):
        road.next_run()
        found.append(road.shown(ORDER).status)
    return found


# Status: the first rule that fits


def test_status_is_canceled_when_a_blocked_order_is_canceled(road: Road) -> None:
    road.buy(ORDER, {"NONE": 1})
    road.next_run()
    assert road.shown(ORDER).status == "Error"
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Canceled", False, [])


def test_status_is_error_when_an_order_that_amazon_shipped_is_blocked(road: Road) -> None:
    road.buy(ORDER, {"NONE": 1}, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    assert statuses(road) == ["Error"] * 3


def test_status_is_completed_on_a_later_run_when_amazon_ships_before_creation(road: Road) -> None:
    road.buy(ORDER, TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    assert statuses(road) == ["Shipped", "Completed", "Completed"]


def test_status_is_completed_on_a_later_run_when_amazon_ships_after_creation(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.next_run()
    assert statuses(road) == ["Unshipped"] * 3
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentStatus": "PARTIALLY_SHIPPED"}})
    road.next_run()
    assert statuses(road) == ["Partially Shipped"] * 3
    road.sandbox.amazon.apply(ORDER, SHIPPED)
    road.next_run()
    assert statuses(road) == ["Shipped", "Completed", "Completed"]


def test_status_is_not_completed_when_a_run_is_repeated(road: Road) -> None:
    road.buy(ORDER, TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    for _ in range(2):  # clear and run again: the same run id
        road.validate_orders()
        road.publish_recent_orders()
        assert road.shown(ORDER).status == "Shipped"


def test_status_is_not_completed_when_the_run_that_created_the_order_is_repeated(road: Road) -> None:
    road.buy(ORDER, {"CLOCK-WALL-30": 1}, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    road.sandbox.commerce.set_product("CLOCK-WALL-30", status=1)
    road.next_run()
    road.validate_orders()
    road.publish_recent_orders()
    assert statuses(road) == ["Shipped", "Completed", "Completed"]


def test_status_is_never_completed_when_the_order_is_shipped_but_not_imported(road: Road) -> None:
    road.change_store("Acme US", is_import_enabled=False)
    road.buy(ORDER, TRAY, status="SHIPPED")
    road.next_run()
    assert statuses(road) == ["Shipped"] * 3


def test_status_stays_completed_when_a_completed_order_changes_on_amazon_again(road: Road) -> None:
    road.buy(ORDER, TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    road.next_run()
    road.sandbox.amazon.apply(ORDER, {"fulfillment": {"fulfillmentServiceLevel": "EXPEDITED"}})
    road.next_run()
    assert statuses(road) == ["Completed"] * 3


def test_status_is_counted_as_drift_when_it_is_amazons_own_word(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        road.buy(order_id(number), TRAY, status="INVOICE_UNCONFIRMED")
    with caplog.at_level(logging.INFO, "include.steps.publish_recent_orders"):
        road.next_run()
    assert "Amazon's status INVOICE_UNCONFIRMED is new to us (2 orders)" in caplog.text
    assert statuses(road) == ["INVOICE_UNCONFIRMED"] * 3
    findings = road.value("select contract_findings from raw.amazon_orders where amazon_order_id = :id", id=ORDER)
    assert findings == ["fulfillment.fulfillmentStatus=INVOICE_UNCONFIRMED"]


# Money, times, links


def test_grand_total_is_what_amazon_gives_when_it_is_missing_zero_or_large(road: Road) -> None:
    road.buy(order_id(1), TRAY, status="PENDING", has_money=False)
    road.buy(order_id(2), TRAY, unit_price="0.00")
    road.buy(order_id(3), {"TRAY-WALNUT": 3}, unit_price="1234.56")
    road.pass_time(minutes=10)
    road.orders_run()
    totals = [road.shown(order_id(number)).grand_total_amount for number in (1, 2, 3)]
    assert totals == [None, Decimal("0.00"), Decimal("3703.68")]
    assert road.shown(order_id(1)).currency_code == "USD", "of the item price"


def test_columns_are_filled_when_everything_is_known(road: Road) -> None:
    bought_at = road.sandbox.clock.now().replace(microsecond=0)
    road.buy(ORDER, TRAY)
    road.next_run()
    shown = road.shown(ORDER)
    assert shown.store_name == "Acme US"
    assert shown.purchased_at == shown.last_updated_at == bought_at
    assert shown.purchased_at.utcoffset() == timedelta(0)
    assert shown.ship_by_at == bought_at + timedelta(days=2)
    assert (shown.fulfilled_by, shown.currency_code) == ("MERCHANT", "USD")
    assert shown.dag_run_id == road.run_id
    assert timedelta(0) <= road.now() - shown.loaded_at < timedelta(minutes=5)


def test_order_url_leads_to_commerce_when_the_order_is_linked(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    assert road.shown(ORDER).order_url == f"https://sellercentral.amazon.com/orders-v3/order/{ORDER}"
    road.next_run()
    (created,) = road.sandbox.commerce.orders()
    link = f"{road.sandbox.commerce_url}/admin/sales/order/view/order_id/{created['entity_id']}"
    assert road.shown(ORDER).order_url == link

    stage_stores.run(road.engine, road.stores, {SHOP: None}, now=road.now(), dag_run_id=road.run_id)
    road.publish_recent_orders()
    assert road.shown(ORDER).order_url == link, "a connection that cannot be read does not take the link away"


def test_orders_are_not_importable_when_the_stores_settings_leave_them_out(road: Road) -> None:
    """And the import rate of docs/analysts.md counts what could be imported only."""
    created, pending, blocked, canceled, canceled_later, too_old, of_amazon, import_off = map(order_id, range(1, 9))
    road.change_store("Acme US", are_amazon_fulfilled_imported=False)
    road.buy(created, TRAY)
    road.buy(pending, TRAY, status="PENDING", has_money=False)
    road.buy(blocked, {"NONE": 1})
    road.buy(canceled, TRAY, status="CANCELLED")
    road.buy(canceled_later, TRAY)
    old = amazon_order(too_old, TRAY, at=road.sandbox.clock.now())
    old["createdTime"] = "2025-12-31T23:59:59Z"
    sell(road, old)
    road.buy(of_amazon, TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    road.buy(import_off, TRAY, marketplace_id="A2EUQ1WTGCTBG2", currency="CAD")
    road.next_run()
    assert road.shown(import_off).store_name == "Acme Canada"
    road.sandbox.amazon.apply(canceled_later, CANCELLED)
    road.next_run()

    found = road.rows("select amazon_order_id, pipeline_state, is_importable from reporting.recent_orders")
    assert {one: (state, is_importable) for one, state, is_importable in found} == {
        created: ("created", True),
        pending: ("waiting", True),
        blocked: ("blocked", True),
        canceled: ("canceled", False),
        canceled_later: ("created", True),
        too_old: ("not_imported", False),
        of_amazon: ("not_imported", False),
        import_off: ("not_imported", False),
    }
    page = (Path(__file__).parents[2] / "docs" / "analysts.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"^\*\*Import rate\*\*.*?^```sql\n-- as analyst\n(.*?)^```$", page, re.M | re.S)
    analyst = make_engine(road.engine.url.set(username="analyst"), application_name="tests")
    with analyst.connect() as connection:
        rates = [tuple(row) for row in connection.exec_driver_sql(query)]
    assert rates == [("Acme US", 3, 2, Decimal("0.6667"))]


def test_rows_are_left_alone_when_nothing_changed(road: Road) -> None:
    road.buy(ORDER, TRAY)
    road.buy(order_id(2), {"NONE": 1})
    road.next_run()
    before = road.rows("select * from reporting.recent_orders order by amazon_order_id")
    road.pass_time(minutes=10)
    assert road.publish_recent_orders() == {"read": 0, "written": 0}
    road.orders_run()
    after = road.rows("select * from reporting.recent_orders order by amazon_order_id")
    assert after == before


# Notes


# Case of an order -> how its note begins
BEGINNINGS = {
    "long": "Product NO-SUCH-PRODUCT-1 (Amazon SKU NO-SUCH-PRODUCT-1) is not in the Commerce catalog. Create",
    "blocked": "Product CLOCK-WALL-30 (Amazon SKU CLOCK-WALL-30) is disabled in the store view. Enable",
    "unpriced": "Amazon gives no total for the order. Check the order in Seller Central",
    "doubtful": "Sent to Commerce, but the answer was lost; it is looked up before it is sent again.",
    "asked": "The buyer asked to cancel TRAY-WALNUT. Cancel it in Seller Central; if you ship it instead,",
    "unreadable": "Amazon sent a newer version that cannot be read; this row shows the one before.",
    "trackless": "Shipment 1 has no tracking number; add one in Commerce so that the shipment can be confirmed",
    "waiting": "Shipped in Commerce (order 0000000",
    "accepted": "Amazon has confirmed 1 package of Commerce order 0000000",
    "refused": "Amazon refused the package: ",
    "late": "Amazon had the whole order as shipped before this package was sent; check it",
    "canceled": "Amazon canceled the order; taken off Commerce order 0000",
    "pending": "Amazon is still verifying the payment.",
    "ignored": "The store ignores orders that Amazon fulfills.",
}


def test_notes_are_short_clear_and_free_of_personal_data_when_every_case_meets(road: Road) -> None:
    ids = {name: order_id(number) for number, name in enumerate(BEGINNINGS, start=1)}
    road.buy(ids["long"], {f"NO-SUCH-PRODUCT-{number}": number for number in range(1, 15)})
    road.buy(ids["blocked"], {"NONE": 1, "CLOCK-WALL-30": 1, "VASE-GLASS-TALL": 10_000})
    road.buy(ids["unpriced"], TRAY, has_money=False)
    asked = amazon_order(ids["asked"], TRAY, at=road.sandbox.clock.now())
    asked["orderItems"][0]["cancellation"] = BUYER_REQUEST
    sell(road, asked)
    for name in ("unreadable", "trackless", "waiting", "accepted", "refused", "canceled"):
        road.buy(ids[name], TRAY)
    road.buy(ids["late"], TRAY, status="SHIPPED")
    road.buy(ids["pending"], TRAY, status="PENDING")
    road.buy(ids["ignored"], TRAY, status="SHIPPED", fulfilled_by="AMAZON")
    road.change_store("Acme US", are_amazon_fulfilled_imported=False)
    road.next_run()

    road.buy(ids["doubtful"], TRAY)
    road.sandbox.amazon.apply(ids["unreadable"], {"createdTime": "Marker Buyername"})
    road.sandbox.amazon.apply(ids["canceled"], CANCELLED)
    road.sandbox.commerce.ship(ids["trackless"], None, [])
    road.sandbox.amazon.apply(ids["refused"], {"programs": ["FBM_SHIP_PLUS"]})
    for name in ("accepted", "refused", "late"):
        road.sandbox.commerce.ship(ids[name], None, [("ups", "UPS", f"1Z{name}")])
    road.shipments_run()
    road.pass_time(minutes=10)
    road.sandbox.commerce.ship(ids["waiting"], None, [("ups", "UPS", "1Zwaiting")])
    road.shipments_run()
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply", about=ids["doubtful"]))
    road.orders_run()

    notes = {name: road.shown(ids[name]).order_notes for name in BEGINNINGS}
    assert {name: note[: len(BEGINNINGS[name])] for name, note in notes.items()} == BEGINNINGS
    assert len(notes["long"]) == 500
    for name, note in notes.items():
        assert 0 < len(note) <= 500, name
        assert not [marker for marker in MARKERS.values() if marker in note], name
    held = [name for name in BEGINNINGS if road.shown(ids[name]).is_blocked]
    assert held == ["long", "blocked", "unpriced", "asked"]
    assert {name for name in BEGINNINGS if road.shown(ids[name]).status == "Error"} == set(held)
    assert road.shown(ids["blocked"]).blocker_codes == ["disabled_product", "missing_product", "out_of_stock"]
    assert road.shown(ids["unpriced"]).blocker_codes == ["amount_missing"]
    assert road.shown(ids["asked"]).blocker_codes == ["buyer_requested_cancel"]
    assert road.shown(ids["long"]).blocker_codes == ["missing_product"]
    assert not any(road.shown(ids[name]).blocker_codes for name in BEGINNINGS if name not in held)


def hold_unfinished(road: Road) -> Any:
    """Let the order be created and its invoice be refused: people hold it in Commerce. Returns the Commerce order."""
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500", times=3))
    road.create_commerce_orders()
    road.sandbox.commerce_faults.clear()
    road.publish_recent_orders()
    (created,) = road.sandbox.commerce.orders()
    order = road.sandbox.commerce.order(created["entity_id"])
    order["state"] = order["status"] = "holded"
    road.pass_time(minutes=30)
    road.orders_run()
    return order


def test_notes_say_that_the_commerce_order_exists_when_the_invoice_is_refused(road: Road) -> None:
    order = hold_unfinished(road)
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked) == ("Error", True)
    assert shown.order_notes.startswith(f"Commerce order {order['increment_id']} exists, but its invoice was")
    assert shown.order_notes.endswith(". It will be retried automatically.")
    order["state"] = order["status"] = "new"
    road.pass_time(minutes=30)
    road.orders_run()
    assert (road.shown(ORDER).status, road.shown(ORDER).is_blocked) == ("Unshipped", False)


def test_status_is_not_an_error_yet_when_one_invoice_call_failed(road: Road) -> None:
    """Only a refusal is, or the end of the automatic attempts."""
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.sandbox.commerce_faults.add(Fault("invoiceOrder", "html_500", times=3))
    road.orders_run()
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked, shown.blocker_codes) == ("Unshipped", False, [])
    note = rf"Commerce order {shown.commerce_order_number} exists, but .*\. It will be retried automatically\."
    assert re.fullmatch(note, shown.order_notes)

    gave_up = (
        "update ops.order_outbox set needs_attention_at = now(), last_error = 'Tried 8 times. Invoice it yourself.'"
    )
    with road.engine.begin() as connection:
        connection.execute(text(gave_up))
        connection.execute(text("update core.orders set state_reason = null"))
    road.publish_recent_orders()
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked) == ("Error", True)
    assert shown.order_notes == "Tried 8 times. Invoice it yourself."


def test_status_is_canceled_when_amazon_cancels_though_the_invoice_is_refused(road: Road) -> None:
    hold_unfinished(road)
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    assert road.value("select last_error from ops.order_outbox") is not None
    assert (road.shown(ORDER).status, road.shown(ORDER).is_blocked) == ("Canceled", False)
