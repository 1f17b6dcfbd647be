"""The analysts' views agree, row by row, with an oracle in plain Python on random worlds; their columns stay."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import Engine, text

from include.steps import publish_recent_orders
from tests.support import analyst_oracle, analyst_world
from tests.support.analyst_world import World, worlds

# design.md, section 9: names and sequence are what others rely on; more may follow.
COLUMNS = {
    "daily_sales": "sales_date store_name marketplace_id fulfilled_by currency_code order_count ordered_qty "
    "item_amount discount_amount shipping_amount tax_amount grand_total_amount canceled_order_count",
    "daily_sales_by_sku": "sales_date store_name marketplace_id fulfilled_by currency_code seller_sku order_count "
    "ordered_qty item_amount discount_amount shipping_amount tax_amount canceled_order_count",
    "blocked_revenue": "store_name blocker_code seller_sku currency_code order_count blocked_qty blocked_amount "
    "oldest_hours due_within_24h_amount",
    "ship_by_risk": "amazon_order_id store_name risk_code ship_by_at hours_left",
    "time_to_commerce": "created_date store_name order_count p50_seconds p90_seconds p99_seconds",
}
# View -> the columns of a row's key.
KEYS = {
    "daily_sales": ("sales_date", "store_name", "fulfilled_by", "currency_code"),
    "daily_sales_by_sku": ("sales_date", "store_name", "fulfilled_by", "currency_code", "seller_sku"),
    "blocked_revenue": ("store_name", "blocker_code", "seller_sku", "currency_code"),
    "ship_by_risk": ("amazon_order_id",),
    "time_to_commerce": ("created_date", "store_name"),
    "cancellations": ("sales_date", "store_name", "fulfilled_by"),
    "fulfilment_lateness_daily": ("ship_by_date", "store_name"),
    "sales_summary": ("store_name", "currency_code"),
    "blocker_history_daily": ("history_date", "store_name", "blocker_code"),
}


def _plain(value: Any) -> Any:
    """Numbers to the hundredth where hours are rounded, money and counts as they are."""
    if value is None or isinstance(value, (str, datetime)):
        return value
    return round(float(value), 4)


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    for name, value in wanted.items():
        one, other = _plain(found[name]), _plain(value)
        slack = 0.0051 if "hours" in name else 0.0006 if name.endswith("seconds") else 0.00011 if "rate" in name else 0
        if isinstance(one, float) and isinstance(other, float):
            if abs(one - other) > slack:
                return False
        elif one != other:
            return False
    return True


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_keep_name_and_sequence_when_others_rely_on_them(admin_engine: Engine, view: str) -> None:
    with admin_engine.connect() as connection:
        names = connection.execute(
            text(
                "select column_name from information_schema.columns where table_schema = 'reporting'"
                " and table_name = :view order by ordinal_position"
            ),
            {"view": view},
        ).scalars()
        assert " ".join(names).startswith(COLUMNS[view] + " ")


@given(world=worlds())
@settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_views_agree_with_the_oracle_when_worlds_are_random(engine: Engine, admin_engine: Engine, world: World) -> None:
    """Several currencies and zones, changes of clocks, canceled orders and units, partly shipped orders, blockers."""
    analyst_world.write(admin_engine, world)
    publish_recent_orders.run(engine, now=world.now, dag_run_id="world")
    with admin_engine.connect() as connection:
        for view, keys in KEYS.items():
            rows = list(connection.execute(text(f"select * from reporting.{view}")).mappings())
            found = {tuple(row[key] for key in keys): dict(row) for row in rows}
            assert len(found) == len(rows), view
            wanted = getattr(analyst_oracle, view)(world)
            assert found.keys() == wanted.keys(), view
            for key, values in wanted.items():
                picked = {name: found[key][name] for name in values}
                assert _same(picked, values), f"{view} {key}: {picked} instead of {values}"
