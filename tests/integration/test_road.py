"""The whole scenario, walked step by step without Airflow: what operators see at its end."""

from __future__ import annotations

from collections import Counter

from tests.support.road import Road


def test_every_status_is_shown_and_no_order_is_doubled_when_the_scenario_is_played_to_its_end(full_road: Road) -> None:
    road = full_road
    road.orders_run()
    road.pass_time(minutes=21)
    road.orders_run()
    road.shipments_run()
    road.pass_time(minutes=6)
    road.shipments_run()
    road.orders_run()
    road.pass_time(minutes=1)
    road.orders_run()

    statuses = Counter(row.status for row in road.rows("select status from reporting.recent_orders"))
    wanted = "Pending, Pending Availability, Unshipped, Partially Shipped, Shipped, Completed, Canceled, Error"
    assert set(statuses) >= set(wanted.split(", "))
    in_shop = Counter(order["ext_order_id"] for order in road.sandbox.commerce.orders())
    assert set(in_shop.values()) == {1}
    linked = road.rows("select amazon_order_id from reporting.recent_orders where commerce_order_number is not null")
    assert {row.amazon_order_id for row in linked} == set(in_shop)
    assert road.sandbox.commerce.mails == []
    packages = Counter(row.state for row in road.rows("select state from ops.shipment_outbox"))
    assert set(packages) == {"accepted"}
