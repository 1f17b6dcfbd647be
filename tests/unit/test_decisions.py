"""The decision table: which Amazon order becomes a Commerce order, row by row and setting by setting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.domain.orders import Order, OrderLine, decide
from include.domain.stores import OrderSettings, Store

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = Order(
    amazon_order_id="111-1111111-1111111",
    account_name="acme-na",
    marketplace_id="ATVPDKIKX0DER",
    amazon_status="UNSHIPPED",
    fulfilled_by="MERCHANT",
    purchased_at=SINCE + timedelta(days=1),
    currency_code="USD",
    grand_total_amount=None,
    lines=(OrderLine("1", "MUG", 1),),
)
STATUSES = (
    "PENDING",
    "PENDING_AVAILABILITY",
    "UNSHIPPED",
    "PARTIALLY_SHIPPED",
    "SHIPPED",
    "CANCELLED",
    "UNFULFILLABLE",
)


def store(**settings: object) -> Store:
    return Store(
        name="Acme US",
        account_name="acme-na",
        marketplace_id="ATVPDKIKX0DER",
        commerce_connection="commerce_api",
        commerce_store_view="default",
        orders=OrderSettings(**settings),  # type: ignore[arg-type]
    )


def order(status: str, fulfilled_by: str | None) -> Order:
    return replace(ORDER, amazon_status=status, fulfilled_by=fulfilled_by)


@pytest.mark.parametrize(
    ("fulfilled_by", "status", "state"),
    [
        ("MERCHANT", "UNSHIPPED", "create"),
        ("MERCHANT", "PARTIALLY_SHIPPED", "create"),
        ("MERCHANT", "SHIPPED", "create"),
        ("AMAZON", "SHIPPED", "create"),
        ("AMAZON", "UNSHIPPED", "waiting"),
        ("AMAZON", "PARTIALLY_SHIPPED", "waiting"),
        ("MERCHANT", "PENDING", "waiting"),
        ("AMAZON", "PENDING", "waiting"),
        ("MERCHANT", "PENDING_AVAILABILITY", "waiting"),
        ("AMAZON", "PENDING_AVAILABILITY", "waiting"),
        ("MERCHANT", "CANCELLED", "canceled"),
        ("AMAZON", "CANCELLED", "canceled"),
        ("MERCHANT", "UNFULFILLABLE", "canceled"),
        ("AMAZON", "UNFULFILLABLE", "canceled"),
    ],
)
def test_decision_follows_the_table_when_the_store_has_the_default_settings(
    fulfilled_by: str, status: str, state: str
) -> None:
    decision = decide(order(status, fulfilled_by), store(), SINCE)
    assert decision.state == state
    assert decision.reason.endswith(".")
    assert decision.is_stock_required == (state == "create" and fulfilled_by == "MERCHANT")


@pytest.mark.parametrize("status", ["INVOICE_UNCONFIRMED", "UNKNOWN", "shipped", ""])
@pytest.mark.parametrize("fulfilled_by", ["MERCHANT", "AMAZON"])
def test_order_waits_when_its_status_is_unknown(fulfilled_by: str, status: str) -> None:
    decision = decide(order(status, fulfilled_by), store(), SINCE)
    assert decision.state == "waiting"
    assert status in decision.reason


@pytest.mark.parametrize("fulfilled_by", [None, "THIRD_PARTY"])
@pytest.mark.parametrize("status", ["UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"])
def test_order_waits_when_nobody_we_know_fulfills_it(fulfilled_by: str | None, status: str) -> None:
    assert decide(order(status, fulfilled_by), store(), SINCE).state == "waiting"


@pytest.mark.parametrize("fulfilled_by", ["MERCHANT", "AMAZON"])
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("left_out_by", ["import disabled", "no store", "no moment", "bought before"])
def test_order_is_not_imported_when_it_is_left_to_seller_central(
    left_out_by: str, status: str, fulfilled_by: str
) -> None:
    decision = decide(
        order(status, fulfilled_by),
        None if left_out_by == "no store" else store(is_import_enabled=left_out_by != "import disabled"),
        {"no moment": None, "bought before": ORDER.purchased_at + timedelta(microseconds=1)}.get(left_out_by, SINCE),
    )
    # Whoever looks at a canceled order wants to read that it is canceled, whatever the settings.
    is_canceled = status in ("CANCELLED", "UNFULFILLABLE")
    assert decision.state == ("canceled" if is_canceled else "not_imported")
    assert is_canceled or "Seller Central" in decision.reason


def test_order_is_created_when_it_was_bought_at_the_very_moment_of_connection() -> None:
    assert decide(ORDER, store(), ORDER.purchased_at).state == "create"


@pytest.mark.parametrize("status", ["PENDING", "UNSHIPPED", "SHIPPED"])
def test_order_is_not_imported_when_orders_that_amazon_fulfills_are_ignored(status: str) -> None:
    ignoring = store(are_amazon_fulfilled_imported=False)
    assert decide(order(status, "AMAZON"), ignoring, SINCE).state == "not_imported"
    assert decide(order("SHIPPED", "MERCHANT"), ignoring, SINCE).state == "create"


def test_stock_is_required_when_amazon_fulfilled_orders_must_be_in_stock() -> None:
    strict = store(must_amazon_fulfilled_be_in_stock=True)
    assert decide(order("SHIPPED", "AMAZON"), strict, SINCE).is_stock_required
    assert decide(order("UNSHIPPED", "AMAZON"), strict, SINCE).state == "waiting"
    assert not decide(order("SHIPPED", "AMAZON"), store(), SINCE).is_stock_required
