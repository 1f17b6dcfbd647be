"""The decision table through the whole road: what is bought on Amazon is created in Commerce as the table says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.domain.stores import FixedCustomer
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import MARKERS, SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

IN_STOCK, SHORT, NOT_MANAGED, MISSING = {"TRAY-WALNUT": 1}, {"TRAY-WALNUT": 10_000}, {"CANDLE-SOY-FIG": 5}, {"NONE": 1}
BACKORDERED, ELSEWHERE = {"DOORMAT-COIR": 10_000}, {"JAR-STORAGE-3": 1}
ORDER = order_id(1)
PAID = {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}}
CANCELLED = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}


def in_shop(road: Road, amazon_order_id: str = ORDER) -> Any:
    """The one Commerce order of an Amazon order; None if there is none."""
    found = road.sandbox.commerce.order_by_ext_id(amazon_order_id)
    assert len(found) <= 1
    return found[0] if found else None


def sell(road: Road, document: dict[str, Any]) -> None:
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))


ROWS = [
    # fulfilled by, Amazon status, lines; state in Commerce or None, shown status
    ("MERCHANT", "UNSHIPPED", IN_STOCK, "processing", "Unshipped"),
    ("MERCHANT", "PARTIALLY_SHIPPED", IN_STOCK, "processing", "Partially Shipped"),
    ("MERCHANT", "SHIPPED", IN_STOCK, "processing", "Shipped"),
    ("MERCHANT", "UNSHIPPED", NOT_MANAGED, "processing", "Unshipped"),
    ("MERCHANT", "UNSHIPPED", BACKORDERED, "processing", "Unshipped"),
    ("MERCHANT", "UNSHIPPED", IN_STOCK | NOT_MANAGED | BACKORDERED, "processing", "Unshipped"),
    ("MERCHANT", "UNSHIPPED", ELSEWHERE, None, "Error"),
    ("MERCHANT", "UNSHIPPED", SHORT, None, "Error"),
    ("MERCHANT", "PARTIALLY_SHIPPED", SHORT, None, "Error"),
    ("MERCHANT", "SHIPPED", SHORT, None, "Error"),
    ("MERCHANT", "UNSHIPPED", IN_STOCK | {"VASE-GLASS-TALL": 10_000}, None, "Error"),
    ("AMAZON", "SHIPPED", IN_STOCK, "complete", "Shipped"),
    ("AMAZON", "SHIPPED", SHORT, "complete", "Shipped"),
    ("AMAZON", "SHIPPED", NOT_MANAGED, "complete", "Shipped"),
    ("AMAZON", "SHIPPED", BACKORDERED, "complete", "Shipped"),
    ("AMAZON", "SHIPPED", MISSING, None, "Error"),
    ("AMAZON", "SHIPPED", ELSEWHERE, None, "Error"),
    ("AMAZON", "UNSHIPPED", IN_STOCK, None, "Unshipped"),
    ("AMAZON", "PARTIALLY_SHIPPED", IN_STOCK, None, "Partially Shipped"),
    ("AMAZON", "UNSHIPPED", MISSING, None, "Unshipped"),
    ("MERCHANT", "PENDING", IN_STOCK, None, "Pending"),
    ("AMAZON", "PENDING", IN_STOCK, None, "Pending"),
    ("MERCHANT", "PENDING", MISSING, None, "Pending"),
    ("MERCHANT", "PENDING_AVAILABILITY", IN_STOCK, None, "Pending Availability"),
    ("MERCHANT", "CANCELLED", IN_STOCK, None, "Canceled"),
    ("AMAZON", "CANCELLED", IN_STOCK, None, "Canceled"),
    ("MERCHANT", "UNFULFILLABLE", IN_STOCK, None, "Canceled"),
    ("AMAZON", "UNFULFILLABLE", MISSING, None, "Canceled"),
    ("MERCHANT", "INVOICE_UNCONFIRMED", IN_STOCK, None, "INVOICE_UNCONFIRMED"),
]


def test_orders_become_commerce_orders_when_the_table_says_so(road: Road) -> None:
    road.sandbox.commerce.set_product("DOORMAT-COIR", backorders=True, quantities={1: Decimal(0)})
    road.sandbox.commerce.set_product("JAR-STORAGE-3", website_ids=(2, 3))
    for number, (fulfilled_by, status, lines, _, _) in enumerate(ROWS, start=1):
        road.buy(order_id(number), lines, status=status, fulfilled_by=fulfilled_by)
    road.next_run()
    for number, row in enumerate(ROWS, start=1):
        state, status = row[3:]
        created, shown = in_shop(road, order_id(number)), road.shown(order_id(number))
        assert (created["state"] if created else None) == state, row
        assert (shown.status, shown.is_blocked) == (status, status == "Error"), row
        if created:
            assert created["status"] == state
            assert created["total_invoiced"] == created["grand_total"] == shown.grand_total_amount > 0, row
            assert shown.commerce_order_number == created["increment_id"]
        else:
            assert shown.commerce_order_number is None, row
    assert sum(row[3] is not None for row in ROWS) == len(road.sandbox.commerce.orders()) == 10
    assert road.sandbox.commerce.shipments() == []
    assert road.sandbox.commerce.mails == []
    road.next_run()
    assert len(road.sandbox.commerce.orders()) == 10


def test_order_is_created_when_the_payment_is_verified_later(road: Road) -> None:
    road.buy(ORDER, IN_STOCK, status="PENDING", has_money=False)
    road.next_run()
    assert in_shop(road) is None
    assert (road.shown(ORDER).status, road.shown(ORDER).grand_total_amount) == ("Pending", None)
    sound = amazon_order(ORDER, IN_STOCK)
    items = [{"orderItemId": item["orderItemId"], "proceeds": item["proceeds"]} for item in sound["orderItems"]]
    road.sandbox.amazon.apply(ORDER, PAID | {"proceeds": sound["proceeds"], "orderItems": items})
    road.next_run()
    assert in_shop(road)["grand_total"] == Decimal("10.00")
    assert (road.shown(ORDER).status, road.shown(ORDER).grand_total_amount) == ("Unshipped", Decimal("10.00"))
    changes = road.rows(
        "select to_code from core.order_status_changes where system_code = 'amazon' order by changed_at"
    )
    assert [row.to_code for row in changes] == ["PENDING", "UNSHIPPED"]


def test_order_is_not_created_when_amazon_cancels_it_before(road: Road) -> None:
    road.buy(ORDER, IN_STOCK, status="PENDING")
    road.next_run()
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()
    assert in_shop(road) is None
    assert road.shown(ORDER).status == "Canceled"
    assert "before a Commerce order existed" in road.shown(ORDER).order_notes


def test_order_is_not_created_when_amazon_cancels_it_after_it_was_planned(road: Road) -> None:
    road.buy(ORDER, IN_STOCK)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    assert road.value("select state from ops.order_outbox") == "planned"
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.next_run()
    assert in_shop(road) is None
    assert road.value("select state from ops.order_outbox") == "canceled"
    assert road.shown(ORDER).status == "Canceled"


def test_order_is_not_created_when_amazon_cancels_it_between_validation_and_creation(road: Road) -> None:
    road.buy(ORDER, IN_STOCK)
    road.pass_time(minutes=10)
    road.orders_run(create=lambda account_name: None)
    road.sandbox.amazon.apply(ORDER, CANCELLED)
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    road.create_commerce_orders()
    road.publish_recent_orders()
    assert in_shop(road) is None
    assert road.value("select state from ops.order_outbox") == "canceled"
    assert road.shown(ORDER).status == "Canceled"


def test_order_is_created_and_completed_when_it_replaces_another_for_nothing(road: Road) -> None:
    document = amazon_order(ORDER, IN_STOCK, unit_price="0.00", at=road.sandbox.clock.now())
    document["associatedOrders"] = [{"orderId": order_id(9), "associationType": "REPLACEMENT_ORIGINAL_ID"}]
    sell(road, document)
    road.next_run()
    created = in_shop(road)
    assert (created["grand_total"], created["state"]) == (0, "processing")
    assert road.shown(ORDER).grand_total_amount == Decimal(0)
    assert road.value("select replaced_amazon_order_id from core.orders") == order_id(9)
    road.sandbox.commerce.ship(ORDER, None, [("ups", "UPS", "1Z0")])
    road.shipments_run()
    road.settle()
    assert road.shown(ORDER).status == "Completed"


# Settings of a store


def test_order_is_created_when_import_is_disabled_and_enabled_later(road: Road) -> None:
    road.change_store("Acme US", is_import_enabled=False)
    road.buy(ORDER, IN_STOCK)
    road.buy(order_id(2), MISSING)
    road.next_run()
    assert road.sandbox.commerce.orders() == []
    for shown in (road.shown(ORDER), road.shown(order_id(2))):
        assert (shown.status, shown.is_blocked) == ("Unshipped", False)
        assert "Import is disabled" in shown.order_notes
        assert shown.order_url == f"https://sellercentral.amazon.com/orders-v3/order/{shown.amazon_order_id}"
    road.change_store("Acme US", is_import_enabled=True)
    road.next_run()
    assert in_shop(road) is not None
    assert road.shown(order_id(2)).status == "Error"


def test_orders_are_not_created_when_bought_before_the_store_was_connected(road: Road) -> None:
    road.change_store("Acme US", import_since=None)
    road.buy(ORDER, IN_STOCK)
    road.next_run()
    road.pass_time(minutes=1)  # Amazon's times have whole seconds
    road.buy(order_id(2), IN_STOCK)
    road.next_run()
    assert in_shop(road) is None
    assert in_shop(road, order_id(2)) is not None
    shown = road.shown(ORDER)
    assert (shown.status, shown.is_blocked) == ("Unshipped", False)
    assert "set import_since in stores.yaml" in shown.order_notes
    connected_at = road.value("select connected_at from core.stores where store_name = 'Acme US'")

    road.change_store("Acme US", import_since=connected_at - (road.now() - connected_at) * 2)
    road.next_run()
    assert in_shop(road) is not None
    assert road.value("select connected_at from core.stores where store_name = 'Acme US'") == connected_at


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("is_import_enabled", {}),
        ("is_import_enabled", {"status": "SHIPPED", "fulfilled_by": "AMAZON"}),
        ("are_amazon_fulfilled_imported", {"status": "SHIPPED", "fulfilled_by": "AMAZON"}),
    ],
)
def test_past_is_not_created_when_import_is_enabled_later(road: Road, setting: str, kind: dict[str, str]) -> None:
    road.change_store("Acme US", import_since=None, **{setting: False})
    road.stage_stores()
    road.pass_time(minutes=1)
    road.buy(ORDER, IN_STOCK, **kind)  # type: ignore[arg-type]
    road.next_run()
    road.change_store("Acme US", **{setting: True})
    road.next_run()
    road.pass_time(minutes=1)  # Amazon's times have whole seconds
    road.buy(order_id(2), IN_STOCK, **kind)  # type: ignore[arg-type]
    road.next_run()
    assert in_shop(road) is None
    assert in_shop(road, order_id(2)) is not None
    assert "set import_since in stores.yaml" in road.shown(ORDER).order_notes

    road.change_store("Acme US", import_since=road.now() - timedelta(days=2))
    road.next_run()
    assert in_shop(road) is not None, "asked for"


def test_only_the_later_order_is_created_when_import_since_lies_between_two(road: Road) -> None:
    road.buy(ORDER, IN_STOCK)
    road.pass_time(minutes=30)
    road.change_store("Acme US", import_since=road.now())
    road.pass_time(minutes=1)
    road.buy(order_id(2), IN_STOCK)
    road.next_run()
    assert in_shop(road) is None
    assert in_shop(road, order_id(2)) is not None


def test_order_is_not_created_when_the_store_ignores_what_amazon_fulfills(road: Road) -> None:
    road.change_store("Acme US", are_amazon_fulfilled_imported=False)
    road.buy(ORDER, IN_STOCK, status="SHIPPED", fulfilled_by="AMAZON")
    road.buy(order_id(2), IN_STOCK)
    road.next_run()
    assert in_shop(road) is None
    assert in_shop(road, order_id(2)) is not None
    assert (road.shown(ORDER).status, road.shown(ORDER).is_blocked) == ("Shipped", False)


def test_short_order_is_blocked_when_amazon_fulfilled_ones_must_be_in_stock(road: Road) -> None:
    road.change_store("Acme US", must_amazon_fulfilled_be_in_stock=True)
    road.buy(ORDER, SHORT, status="SHIPPED", fulfilled_by="AMAZON")
    road.buy(order_id(2), IN_STOCK, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    assert in_shop(road) is None
    assert road.shown(ORDER).blocker_codes == ["out_of_stock"]
    assert in_shop(road, order_id(2))["state"] == "complete"
    road.sandbox.commerce.set_quantity("TRAY-WALNUT", 1, Decimal(20_000))
    road.next_run()
    assert in_shop(road)["state"] == "complete"


@pytest.mark.parametrize(("is_used", "tax"), [(True, "0.83"), (False, "0.00")])
def test_grand_total_is_what_the_buyer_paid_when_tax_comes_from_amazon_or_not_at_all(
    road: Road, is_used: bool, tax: str
) -> None:
    document = amazon_order(ORDER, IN_STOCK, at=road.sandbox.clock.now())
    item = document["orderItems"][0]
    item["proceeds"]["breakdowns"].append({"type": "TAX", "subtotal": {"amount": "0.83", "currencyCode": "USD"}})
    total = {"amount": "10.83", "currencyCode": "USD"}
    item["proceeds"]["proceedsTotal"] = document["proceeds"]["grandTotal"] = total
    sell(road, document)
    road.change_store("Acme US", is_amazon_tax_used=is_used)
    road.next_run()
    created = in_shop(road)
    assert created["tax_amount"] == created["items"][0]["tax_amount"] == Decimal(tax)
    assert created["subtotal"] == Decimal("10.00")
    assert created["grand_total"] == road.shown(ORDER).grand_total_amount == Decimal("10.83"), "what the buyer paid"
    assert created["total_invoiced"] == Decimal("10.00") + Decimal(tax), "Commerce sums up the invoice from its parts"


@pytest.mark.parametrize("prefix", ["", "AMZ-"])
def test_order_has_amazons_number_when_the_store_is_set_so(road: Road, prefix: str) -> None:
    road.change_store("Acme US", order_number_source="amazon", order_number_prefix=prefix)
    road.buy(ORDER, IN_STOCK)
    road.next_run()
    created = in_shop(road)
    assert created["increment_id"] == road.shown(ORDER).commerce_order_number == prefix + ORDER
    assert (created["payment"]["method"], created["payment"]["po_number"]) == ("purchaseorder", ORDER)
    line_id = road.value("select amazon_item_id from core.order_items")
    assert [item["ext_order_item_id"] for item in created["items"]] == [line_id]


def test_order_gets_the_stores_status_when_it_has_a_processing_status_of_its_own(road: Road) -> None:
    road.change_store("Acme US", processing_status="amazon_new")
    road.buy(ORDER, IN_STOCK)
    road.buy(order_id(2), IN_STOCK, status="SHIPPED", fulfilled_by="AMAZON")
    road.next_run()
    assert (in_shop(road)["state"], in_shop(road)["status"]) == ("processing", "amazon_new")
    assert in_shop(road)["total_invoiced"] == Decimal("10.00")
    assert in_shop(road, order_id(2))["status"] == "complete"


def test_order_belongs_to_the_fixed_customer_when_the_store_has_one(road: Road) -> None:
    road.sandbox.commerce.add_customer(email="amazon@shop.example", firstname="Amazon", lastname="Orders", website_id=1)
    road.change_store("Acme US", customer=FixedCustomer("amazon@shop.example"))
    road.buy(ORDER, IN_STOCK)
    road.next_run()
    created = in_shop(road)
    (customer,) = road.sandbox.commerce.customers()
    assert (created["customer_id"], created["customer_is_guest"]) == (customer["id"], 0)
    assert created["customer_email"] == "amazon@shop.example"
    shipping = created["extension_attributes"]["shipping_assignments"][0]["shipping"]
    assert shipping["address"]["street"] == [MARKERS["addressLine1"]]


def test_order_is_created_when_the_fixed_customer_is_missing_and_made_later(road: Road) -> None:
    road.change_store("Acme US", customer=FixedCustomer("amazon@shop.example"))
    road.buy(ORDER, IN_STOCK)
    with pytest.raises(MisconfiguredError, match=r"Store Acme US: .*customer: fixed.*Resolution:") as caught:
        road.next_run()
    assert "amazon@shop.example" not in str(caught.value)
    assert road.sandbox.commerce.orders() == []
    road.sandbox.commerce.add_customer(email="amazon@shop.example", firstname="Amazon", lastname="Orders", website_id=1)
    road.next_run()
    assert in_shop(road)["customer_is_guest"] == 0
    assert road.shown(ORDER).status == "Unshipped"


def test_order_is_shown_but_not_created_when_the_store_only_shows_orders(road: Road) -> None:
    road.buy(ORDER, IN_STOCK, marketplace_id="A2EUQ1WTGCTBG2", currency="CAD")  # Acme Canada only shows its orders
    road.next_run()
    assert road.sandbox.commerce.orders() == []
    shown = road.shown(ORDER)
    assert (shown.store_name, shown.currency_code) == ("Acme Canada", "CAD")
    assert shown.order_url == f"https://sellercentral.amazon.ca/orders-v3/order/{ORDER}"
