"""A blocked order is checked again only when a fact changed: Great Expectations takes seconds to be imported."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.personal_data import PersonalDataCipher
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.step_process import PII_KEY, modules_after

ORDER = order_id(1)
TRAY, VASE, CLOCK, NONE = "TRAY-WALNUT", "VASE-GLASS-TALL", "CLOCK-WALL-30", "NONE"
US_STOCK = 1


@pytest.fixture
def blocked(road: Road) -> Road:
    """An order with a product that is missing, one that is disabled and one that is short, checked once."""
    road.cipher = PersonalDataCipher([PII_KEY])
    road.buy(ORDER, {NONE: 1, CLOCK: 1, VASE: 100})
    road.next_run()
    assert checked(road) > 0
    return road


def checked(road: Road) -> int:
    """How many rules were checked in the last run."""
    count: int = road.value("select count(*) from ops.validation_results where dag_run_id = :id", id=road.run_id)
    return count


def test_order_keeps_its_blockers_unchecked_when_nothing_changed(blocked: Road) -> None:
    before = blocked.shown(ORDER)
    for _ in range(2):
        blocked.next_run()
        assert checked(blocked) == 0
        assert blocked.shown(ORDER).blocker_codes == before.blocker_codes
    assert blocked.value("select min(check_count) from ops.blocker_episodes") == 3, "it is still seen in every run"


def test_great_expectations_is_imported_only_when_a_fact_changed(blocked: Road) -> None:
    blocked.pass_time(minutes=10)
    assert not {"great_expectations", "pandas"} & modules_after(blocked, "validate_orders")
    blocked.sandbox.commerce.set_product(CLOCK, status=1)
    assert {"great_expectations", "pandas"} <= modules_after(blocked, "validate_orders")
    codes = blocked.rows("select blocker_code from ops.blocker_episodes where closed_at is null order by 1")
    assert [row.blocker_code for row in codes] == ["missing_product", "out_of_stock"]


CHANGES: dict[str, Callable[[Road], object]] = {
    "product": lambda road: road.sandbox.commerce.set_product(CLOCK, status=1),
    "stock": lambda road: road.sandbox.commerce.set_quantity(VASE, US_STOCK, Decimal(3)),
    "line on Amazon": lambda road: road.sandbox.amazon.apply(ORDER, {"orderItems": _more(road)}),
    "stores file": lambda road: road.change_store("Acme US", sku_map={NONE: TRAY}),
    "stock that another order takes": lambda road: road.buy(order_id(2), {VASE: 1}),
}


def _more(road: Road) -> list[dict[str, Any]]:
    return [
        item | {"quantityOrdered": 200, "fulfillment": item["fulfillment"] | {"quantityUnfulfilled": 200}}
        for item in road.sandbox.amazon.order(ORDER)["orderItems"]
    ]


@pytest.mark.parametrize("fact", CHANGES)
def test_order_is_checked_again_when_a_fact_changed(blocked: Road, fact: str) -> None:
    CHANGES[fact](blocked)
    blocked.next_run()
    assert checked(blocked) > 0
    assert blocked.shown(ORDER).is_blocked
    for _ in range(2):  # the other order's units are counted in another way once it is created
        blocked.next_run()
    assert checked(blocked) == 0, "what was found is kept again"
