"""All tables of the orders database in one place: `from include.database import tables`."""

from include.database.tables.cancellations import amazon_feeds, cancellation_outbox
from include.database.tables.changes import order_change_outbox
from include.database.tables.checks import blocker_episodes, order_checks, published_rules, validation_results
from include.database.tables.core import (
    order_items,
    order_status_changes,
    orders,
    products,
    shipment_items,
    shipment_tracks,
    shipments,
    sku_map,
    store_views,
    stores,
)
from include.database.tables.facts import (
    dim_blocker_codes,
    dim_marketplaces,
    dim_stores,
    fct_order_blockers,
    fct_order_items,
    fct_order_status_changes,
    fct_orders,
    fct_shipments,
)
from include.database.tables.holds import store_norms, write_hold_decisions, write_holds
from include.database.tables.landing import amazon_orders, commerce_shipments, order_contacts, quarantined_payloads
from include.database.tables.metadata import SCHEMAS, metadata
from include.database.tables.ops import (
    api_calls,
    api_calls_hourly,
    commerce_cursors,
    ingest_coverage,
    ingest_pages,
    ingest_windows,
    order_outbox,
    orders_to_publish,
    quarantined_orders,
    rate_limits,
    shipment_outbox,
    shipment_sweep,
)
from include.database.tables.repairs import bad_addresses, dry_run_results, order_corrections, order_repairs
from include.database.tables.reporting import exchange_rates, recent_orders
from include.database.tables.runs import dag_runs

__all__ = [
    "SCHEMAS",
    "amazon_feeds",
    "amazon_orders",
    "api_calls",
    "api_calls_hourly",
    "bad_addresses",
    "blocker_episodes",
    "cancellation_outbox",
    "commerce_cursors",
    "commerce_shipments",
    "dag_runs",
    "dim_blocker_codes",
    "dim_marketplaces",
    "dim_stores",
    "dry_run_results",
    "exchange_rates",
    "fct_order_blockers",
    "fct_order_items",
    "fct_order_status_changes",
    "fct_orders",
    "fct_shipments",
    "ingest_coverage",
    "ingest_pages",
    "ingest_windows",
    "metadata",
    "order_change_outbox",
    "order_checks",
    "order_contacts",
    "order_corrections",
    "order_items",
    "order_outbox",
    "order_repairs",
    "order_status_changes",
    "orders",
    "orders_to_publish",
    "products",
    "published_rules",
    "quarantined_orders",
    "quarantined_payloads",
    "rate_limits",
    "recent_orders",
    "shipment_items",
    "shipment_outbox",
    "shipment_sweep",
    "shipment_tracks",
    "shipments",
    "sku_map",
    "store_norms",
    "store_views",
    "stores",
    "validation_results",
    "write_hold_decisions",
    "write_holds",
]
