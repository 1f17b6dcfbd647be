"""The stock ledger starts from what is open, and counts what reading all history would count."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from bench.history import fill_history
from include.database.statements import load_statements
from include.outbox.stock_release import release_ended_orders, release_shipped_orders
from include.steps import validate_orders

pytestmark = pytest.mark.usefixtures("plain_rules")

NOW = datetime.now(UTC)
# As it was before orders were released: every order ever created is read.
ORACLE = """
    select outbox.commerce_connection, outbox.commerce_store_view, outbox.store_name, items.seller_sku,
        sum(items.ordered_qty - coalesce(shipped.qty, 0)) as qty
    from ops.order_outbox as outbox
    inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
    inner join core.order_items as items on outbox.amazon_order_id = items.amazon_order_id
    left join (
        select shipments.amazon_order_id, shipment_items.amazon_item_id, sum(shipment_items.qty) as qty
        from core.shipments as shipments
        inner join core.shipment_items as shipment_items
            using (commerce_connection, commerce_shipment_id)
        group by shipments.amazon_order_id, shipment_items.amazon_item_id
    ) as shipped
        on items.amazon_order_id = shipped.amazon_order_id and items.amazon_item_id = shipped.amazon_item_id
    where
        (
            outbox.state in ('sent', 'in_doubt', 'created', 'adopted')
            or outbox.state = 'planned' and outbox.next_attempt_at > :now
        )
        and orders.fulfilled_by = 'MERCHANT'
        and orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE')
        and items.ordered_qty > coalesce(shipped.qty, 0)
        and outbox.amazon_order_id <> all(cast(:ended as text[]))
    group by 1, 2, 3, 4
"""


def make_random_world(connection: Connection, dice: random.Random) -> list[str]:
    """Give the orders of the history any state, quantities and shipments; the ids of those that end in Commerce."""
    ended = []
    rows = connection.execute(text("select * from ops.order_outbox order by amazon_order_id")).all()
    for row in rows:
        linked = row.commerce_order_id is not None
        values = {
            "id": row.amazon_order_id,
            "state": dice.choice(["created", "adopted"] if linked else ["planned", "sent", "in_doubt", "canceled"]),
            "later": NOW + timedelta(hours=dice.choice([-1, 1])) if dice.random() < 0.7 else None,
            "status": dice.choice(["UNSHIPPED", "SHIPPED", "SHIPPED", "CANCELLED"]),
            "keep": dice.random() < 0.6,
            "qty": dice.randint(0, 3),
        }
        for statement in (
            "update ops.order_outbox set state = :state, next_attempt_at = :later where amazon_order_id = :id",
            "update core.orders set amazon_status = :status where amazon_order_id = :id",
            "update core.order_items set ordered_qty = :qty where amazon_order_id = :id and line_number = 1",
            "delete from core.shipment_items where not :keep and commerce_shipment_id in"
            " (select commerce_shipment_id from core.shipments where amazon_order_id = :id)",
        ):
            statement_values = {key: value for key, value in values.items() if f":{key}" in statement}
            connection.execute(text(statement), statement_values)
        if linked and dice.random() < 0.1:
            ended.append(row.amazon_order_id)
    return ended


def test_allocated_stock_is_right_when_compared_with_all_history(admin_engine: Engine) -> None:
    fill_history(admin_engine, finished=300, open_=150)
    stamp: dict[str, Any] = {"now": NOW, "dag_run_id": "test"}
    with admin_engine.begin() as connection:
        connection.execute(text("update ops.order_outbox set stock_released_at = null"))
        connection.execute(
            text(
                "update ops.order_outbox as outbox set stock_released_at = :now from core.orders as orders"
                " where outbox.amazon_order_id = orders.amazon_order_id and orders.fulfilled_by = 'AMAZON'"
            ),
            {"now": NOW},
        )
        ended = make_random_world(connection, random.Random(7))
        orders = connection.execute(
            text("select amazon_order_id, commerce_connection, commerce_order_id from ops.order_outbox"
                 " where commerce_order_id is not null")
        ).all()  # fmt: skip
        release_shipped_orders(connection, [row.amazon_order_id for row in orders], **stamp)
        for row in orders:
            if row.amazon_order_id in ended:
                release_ended_orders(connection, row.commerce_connection, [row.commerce_order_id], **stamp)
        expected = connection.execute(text(ORACLE), {"now": NOW, "ended": ended}).all()
        found = connection.execute(load_statements(validate_orders.__file__)["allocated"], {"now": NOW}).all()
        released = connection.execute(
            text("select count(*) from ops.order_outbox where stock_released_at is not null")
        ).scalar_one()
    key = ("commerce_connection", "commerce_store_view", "store_name", "seller_sku", "qty")
    assert len(expected) > 50
    assert released > 50
    assert sorted(tuple(getattr(row, name) for name in key) for row in found) == sorted(map(tuple, expected))
