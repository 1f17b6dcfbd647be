"""An order whose lines do not add up to its grand total is created with that total, and flagged until they agree."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.orders import order_id, seed
from tests.support.road import Road

ORDER = order_id(1)
TRAY = "TRAY-WALNUT"
# Currency, lines of 10 each, grand total, whether it is flagged.
CASES = [
    ("USD", 1, "10.01", False),
    ("USD", 1, "10.02", True),
    ("USD", 2, "19.99", False),
    ("USD", 2, "20.02", True),
    ("USD", 40, "400.20", False),
    ("USD", 40, "399.79", True),
    ("JPY", 1, "11", False),
    ("JPY", 3, "32", False),
    ("JPY", 3, "27", True),
]


def pay(road: Road, total: str) -> None:
    road.sandbox.amazon.apply(ORDER, {"proceeds": {"grandTotal": {"amount": total, "currencyCode": "USD"}}})


def test_order_is_flagged_until_its_total_agrees_when_its_lines_do_not_add_up(road: Road) -> None:
    road.with_account("acme-na")
    bought = seed(ORDER, {TRAY: 1, "VASE-GLASS-TALL": 1}, at=road.sandbox.clock.now())
    bought.order["proceeds"]["grandTotal"]["amount"] = "21.50"
    road.sandbox.amazon.add_order(bought)
    road.next_run()
    (order,) = road.sandbox.commerce.order_by_ext_id(ORDER)
    assert Decimal(order["grand_total"]) == Decimal("21.50")
    shown = road.shown(ORDER)
    assert (shown.is_blocked, shown.blocker_codes) == (False, [])
    sentence = "Amazon's grand total is not what its lines add up to: 21.5 against 20 USD."
    assert shown.order_notes.startswith(f"{sentence} Compare it in Seller Central.")
    (flagged,) = road.rows("select * from reporting.flagged_orders")
    assert (flagged.finding_code, flagged.message) == ("total_mismatch", sentence)

    road.next_run()
    assert len(road.rows("select * from reporting.flagged_orders")) == 1
    pay(road, "20.00")
    road.next_run()
    assert road.rows("select * from reporting.flagged_orders") == []
    assert road.shown(ORDER).order_notes.startswith("Created in Commerce")


@pytest.mark.usefixtures("plain_rules")
def test_order_stays_flagged_when_another_blocker_is_solved(road: Road) -> None:
    road.with_account("acme-na")
    road.buy(ORDER, {"NONE": 1})
    pay(road, "11.00")
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["missing_product"]
    road.change_store("Acme US", sku_map={"NONE": TRAY})
    road.next_run()
    found = road.rows("select blocker_code, closed_by_code from ops.blocker_episodes order by blocker_code")
    assert [tuple(row) for row in found] == [("missing_product", "solved"), ("total_mismatch", None)]


def test_mismatch_is_what_rounding_does_not_explain(road: Road) -> None:
    road.with_account("acme-na")
    for number, (currency, lines, total, _) in enumerate(CASES):
        skus = {f"SKU-{line}": 1 for line in range(lines)}
        bought = seed(order_id(number), skus, currency=currency, at=road.sandbox.clock.now())
        bought.order["proceeds"]["grandTotal"]["amount"] = total
        road.sandbox.amazon.add_order(bought)
    road.stage_stores()
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    found = road.rows("select has_total_mismatch from core.orders order by amazon_order_id")
    assert [row.has_total_mismatch for row in found] == [is_flagged for *_, is_flagged in CASES]
