"""Schema `reporting`: what people look at. Names and columns here are relied on by others; views are in `views/`."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Date, Index, Numeric, Table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from include.database.tables.metadata import amount, flag, metadata, text, timestamp, typed
from include.domain.statuses import PIPELINE_STATES, SHOWN_STATUSES

recent_orders = Table(
    "recent_orders",
    metadata,
    text("store_name", "Store (stores.yaml); the account's name for an order of no connected store."),
    timestamp("purchased_at", "When the buyer bought, UTC."),
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text(
        "status",
        ", ".join(SHOWN_STATUSES) + ", or a word of Amazon's that is new to us.",
    ),
    amount("grand_total_amount", "Grand total; null while Amazon does not give it, never zero instead."),
    text("currency_code", "Currency of the grand total, ISO 4217.", nullable=True),
    text(
        "order_notes",
        "What happened last, or what blocks the order and what to do; at most 500 characters, no personal data.",
    ),
    text("order_url", "Commerce order if there is one, otherwise Seller Central."),
    text("commerce_order_number", "Number of the Commerce order.", nullable=True),
    text("fulfilled_by", "MERCHANT or AMAZON.", nullable=True),
    timestamp("ship_by_at", "Latest moment to ship, UTC.", nullable=True),
    flag("is_blocked", "A critical blocker, a refusal or used-up attempts block the order."),
    typed("blocker_codes", ARRAY(Text()), "Codes of the open critical blockers, sorted.", server_default="{}"),
    timestamp("last_updated_at", "Amazon's last update of the order, UTC."),
    timestamp("loaded_at", "When this row was written, UTC."),
    text("dag_run_id", "Airflow run that wrote this row."),
    text(
        "pipeline_state",
        "Where the order is in our process: " + "; ".join(f"{s}: {m}" for s, m in PIPELINE_STATES.items()) + ".",
        server_default="new",
    ),
    flag(
        "is_importable",
        "Whether the order belongs in Commerce: false if the store's settings leave it to Seller Central, or if it was "
        "canceled before its Commerce order existed.",
    ),
    Index("ix_recent_orders_purchased_at", "purchased_at", "amazon_order_id"),
    Index("ix_recent_orders_store_name_purchased_at", "store_name", "purchased_at", "amazon_order_id"),
    Index("ix_recent_orders_status_purchased_at", "status", "purchased_at", "amazon_order_id"),
    Index("ix_recent_orders_store_name_status", "store_name", "status", "purchased_at", "amazon_order_id"),
    Index("ix_recent_orders_loaded_at", "loaded_at"),
    Index("ix_recent_orders_blocked", "store_name", postgresql_where="is_blocked"),
    schema="reporting",
    comment="One row per Amazon order: the Recent Orders view. Refreshed by the DAG orders_to_reporting.",
)

exchange_rates = Table(
    "exchange_rates",
    metadata,
    text("from_currency", "Currency that is converted, ISO 4217.", primary_key=True),
    text("to_currency", "Currency that it is converted to, ISO 4217.", primary_key=True),
    typed("rate_date", Date(), "Day of the rate.", primary_key=True),
    typed("rate", Numeric(20, 10), "Units of to_currency for one unit of from_currency."),
    text("source", "Who published the rate."),
    timestamp("loaded_at", "When this row was written, UTC."),
    text("dag_run_id", "Airflow run of load_exchange_rates that wrote it."),
    CheckConstraint("rate > 0", name="rate"),
    schema="reporting",
    comment="Exchange rates, loaded by the DAG load_exchange_rates; stores with currency: convert use them.",
)
