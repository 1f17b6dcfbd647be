"""Every fault of the sandbox at every operation of the data path: the end is the same as without it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest

from include.domain.errors import MisconfiguredError, ThrottledError, UnavailableError
from local.sandbox.faults import Fault, FaultKind
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.waiting import IMPATIENT, SLOW_SECONDS

pytestmark = pytest.mark.usefixtures("plain_rules")

AMAZON = ("token", "searchOrders", "getOrder", "confirmShipment")
COMMERCE = (
    "storeViews",
    "websites",
    "storeConfigs",
    "stockResolver",
    "searchProducts",
    "areSalableForQty",
    "salableQuantity",
    "searchOrders",
    "createOrder",
    "getOrder",
    "invoiceOrder",
    "searchShipments",
)


def as_airflow(road: Road, step: Callable[[], Any]) -> Any:
    """Call a step as Airflow does: again, later, when the cause may pass."""
    for _ in range(10):
        try:
            return step()
        except UnavailableError as error:
            wait = error.retry_after if isinstance(error, ThrottledError) else timedelta(minutes=2)
            road.pass_time(seconds=wait.total_seconds())
        except MisconfiguredError:
            road.pass_time(minutes=5)
        road.new_task()
    raise AssertionError(f"{step} did not end well in ten tries")


def main_run(road: Road) -> None:
    road.new_task()
    road.run_number += 1
    as_airflow(road, road.stage_stores)
    as_airflow(road, road.extract_amazon_orders)
    as_airflow(road, road.stage_amazon_orders)
    as_airflow(road, road.validate_orders)
    as_airflow(road, road.create_commerce_orders)
    as_airflow(road, road.publish_recent_orders)


def shipments_run(road: Road) -> None:
    road.new_task()
    road.run_number += 1
    as_airflow(road, road.extract_commerce_shipments)
    as_airflow(road, road.stage_commerce_shipments)
    as_airflow(road, road.push_amazon_shipments)
    as_airflow(road, road.verify_amazon_shipments)
    as_airflow(road, road.publish_recent_orders)


SHIPPING = ("getOrder", "confirmShipment", "searchShipments")


@pytest.mark.parametrize(
    ("system", "operation"),
    [("amazon", name) for name in AMAZON] + [("commerce", name) for name in COMMERCE],
    ids=lambda value: value,
)
def test_every_order_arrives_once_when_an_operation_meets_each_fault(road: Road, system: str, operation: str) -> None:
    script = road.sandbox.amazon_faults if system == "amazon" else road.sandbox.commerce_faults
    road.timeouts = IMPATIENT
    road.with_account("acme-na")
    is_shipping = operation in SHIPPING and (system, operation) != ("commerce", "getOrder")
    merchants, others, short = [], [], []
    faults = [Fault(operation, kind, seconds=SLOW_SECONDS, retry_after=30) for kind in get_args(FaultKind)]
    for number, fault in zip(itertools.count(1, 10), faults, strict=False):
        merchants.append(order_id(number))
        others.append(order_id(number + 1))
        short.append(order_id(number + 2))
        road.buy(merchants[-1], {"TRAY-WALNUT": 1, "DOORMAT-COIR": 2})
        road.buy(others[-1], {"TRAY-WALNUT": 1}, status="SHIPPED", fulfilled_by="AMAZON")
        road.buy(short[-1], {"VASE-GLASS-TALL": 10_000})
        road.pass_time(minutes=10)
        if not is_shipping:
            if operation == "getOrder":  # one order is read only where it is unknown what became of it
                script.add(Fault("invoiceOrder", "lost_reply"))
            script.add(fault)
            main_run(road)
            if operation == "getOrder":
                road.pass_time(minutes=6)
                main_run(road)
            assert script.pending() == [], f"{fault.kind} was not met: {operation} is not on the road"
    main_run(road)
    while road.value("select count(*) from ops.order_outbox where finished_at is null and state <> 'canceled'"):
        assert road.run_number < 30, "some order is never created"
        road.pass_time(minutes=10)  # in doubt: looked up twice before it is sent again
        main_run(road)
    for merchant, fault in zip(merchants, faults, strict=True):
        road.sandbox.commerce.ship(merchant, None, [("ups", "UPS", f"1Z{merchant}")])
        if not is_shipping:
            continue
        script.add(fault)
        shipments_run(road)
        road.pass_time(minutes=15)
        if operation == "getOrder":
            shipments_run(road)
        assert script.pending() == [], f"{fault.kind} was not met: {operation} is not on the road"
    shipments_run(road)
    while road.value("select count(*) from ops.shipment_outbox where state <> 'accepted'"):
        assert road.run_number < 60, "some package is never accepted"
        road.pass_time(hours=1)
        shipments_run(road)
    main_run(road)
    road.pass_time(minutes=5)
    main_run(road)

    in_shop = Counter(order["ext_order_id"] for order in road.sandbox.commerce.orders())
    assert in_shop == Counter(merchants + others)
    assert {road.shown(one).status for one in merchants + others} == {"Completed"}
    assert {(road.shown(one).status, *road.shown(one).blocker_codes) for one in short} == {("Error", "out_of_stock")}
    assert road.sandbox.commerce.mails == []
    for order in road.sandbox.commerce.orders():
        assert Decimal(str(order["total_invoiced"])) == Decimal(str(order["grand_total"]))
    for merchant in merchants:
        packages = road.sandbox.amazon.order(merchant)["packages"]
        assert [package["trackingNumber"] for package in packages] == [f"1Z{merchant}"]
    assert road.value("select count(*) from ops.ingest_pages where staged_at is null") == 0
