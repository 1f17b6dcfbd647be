"""One module per task of the DAGs, of the same name; each is imported when its task runs, not when a DAG is parsed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.steps import approve_held_writes as approve_held_writes
    from include.steps import backfill_amazon_orders as backfill_amazon_orders
    from include.steps import cancel_amazon_order as cancel_amazon_order
    from include.steps import check_setup as check_setup
    from include.steps import create_commerce_orders as create_commerce_orders
    from include.steps import describe_held_writes as describe_held_writes
    from include.steps import export_reporting_tables as export_reporting_tables
    from include.steps import extract_amazon_orders as extract_amazon_orders
    from include.steps import extract_commerce_shipments as extract_commerce_shipments
    from include.steps import load_exchange_rates as load_exchange_rates
    from include.steps import publish_recent_orders as publish_recent_orders
    from include.steps import purge_operational_history as purge_operational_history
    from include.steps import push_amazon_shipments as push_amazon_shipments
    from include.steps import repair_amazon_order as repair_amazon_order
    from include.steps import replay_amazon_orders as replay_amazon_orders
    from include.steps import stage_amazon_orders as stage_amazon_orders
    from include.steps import stage_commerce_shipments as stage_commerce_shipments
    from include.steps import stage_stores as stage_stores
    from include.steps import submit_cancellations as submit_cancellations
    from include.steps import validate_orders as validate_orders
    from include.steps import verify_amazon_shipments as verify_amazon_shipments


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")
