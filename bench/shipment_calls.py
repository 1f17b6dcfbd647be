"""How many calls to the shop a run costs when 50,000 orders are watched and 10 of them have a new shipment."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import text

from bench import Figure
from bench.creation import empty_road
from bench.history import fill_history
from include.database.engine import make_engine
from tests.support.commerce_shop import order_entity

WATCHED, SHIPPED = 50_000, 10
_LINK = text("""
    update ops.order_outbox
    set commerce_order_id = :commerce_order_id
    where amazon_order_id = (select amazon_order_id from ops.shipment_sweep order by amazon_order_id offset :n limit 1)
    returning amazon_order_id
""")


def measure(orders: int) -> list[Figure]:
    """Count one run's calls; `orders` does not matter. One figure."""
    with empty_road() as road:
        admin = make_engine(road.engine.url.set(username="postgres"), application_name="bench")
        fill_history(admin, finished=0, open_=WATCHED * 2)
        watched = road.value("select count(*) from ops.shipment_sweep")
        if watched < WATCHED:
            raise SystemExit(f"only {watched} orders are watched")
        road.extract_commerce_shipments()
        road.new_task()
        road.pass_time(minutes=10)
        for number in range(SHIPPED):
            order = road.sandbox.commerce.add_order(order_entity(f"bench-{number}"))
            with road.engine.begin() as connection:
                connection.execute(_LINK, {"commerce_order_id": str(order["entity_id"]), "n": number}).one()
            line = order["items"][0]["ext_order_item_id"]
            road.sandbox.commerce.ship(f"bench-{number}", {line: Decimal(1)}, [("ups", "UPS", f"1Z{number}")])
        before = sum(road.sandbox.commerce_faults.calls.values())
        counts = road.extract_commerce_shipments()
        calls = sum(road.sandbox.commerce_faults.calls.values()) - before
    if counts["new_versions"] != SHIPPED:
        raise SystemExit(f"{SHIPPED} shipments were new: {counts}")
    return [Figure(f"extract_commerce_shipments, {WATCHED:,} watched, {SHIPPED} new: calls", calls, "calls", 20)]
