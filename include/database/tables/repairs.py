"""What people decided about single orders (DAG repair_amazon_order), and what dry runs would have done."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

from include.database.tables.metadata import amount, metadata, text, timestamp, typed

REPAIR_ACTIONS = ("retry", "correct", "skip", "release")

order_corrections = Table(
    "order_corrections",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    typed(
        "address_encrypted",
        LargeBinary(),
        "Fernet token of a JSON document: the address fields that people corrected; they replace Amazon's.",
    ),
    timestamp("corrected_at", "When a field was corrected last."),
    schema="pii",
    comment="Corrections of the addresses of orders, encrypted with ORDERS_PII_KEYS.",
)

order_repairs = Table(
    "order_repairs",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text("dag_run_id", "Airflow run of repair_amazon_order.", primary_key=True),
    text(
        "action",
        "retry (attempt it again), correct (address or SKU), skip (never create it), or release (take a skip back).",
    ),
    typed("address_fields", ARRAY(Text()), "Names of the address fields that were corrected.", server_default="{}"),
    typed("sku_map", JSONB(), "Amazon's SKU -> catalog SKU, as corrected for this order only.", server_default="{}"),
    text("comment", "Why, in the words of the person; no personal data."),
    text("repaired_by", "Airflow user who triggered the run."),
    timestamp("repaired_at", "When."),
    text("outcome", "What it led to, in a sentence."),
    CheckConstraint("action in ('" + "', '".join(REPAIR_ACTIONS) + "')", name="action"),
    schema="ops",
    comment="What people decided about single orders: who, when, what and why.",
)

bad_addresses = Table(
    "bad_addresses",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("problem", "Which fields are missing, wrong or too long, without their values."),
    timestamp("found_at", "When."),
    schema="ops",
    comment="Orders whose delivery address, corrections included, no Commerce order can have.",
)

dry_run_results = Table(
    "dry_run_results",
    metadata,
    text("dag_run_id", "Airflow run of amazon_orders_to_commerce with dry_run.", primary_key=True),
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text(
        "action",
        "What would be done: create, adopt (link a Commerce order that exists), block, wait, leave_out, look_up, "
        "finish (invoice), canceled_units, hold, release or address.",
        primary_key=True,
    ),
    text("account_name", "Account."),
    text("store_name", "Store of stores.yaml; null when none is connected to the marketplace.", nullable=True),
    text("reason", "Why, in a sentence without personal data."),
    typed("blocker_codes", ARRAY(Text()), "Codes of what blocks or flags the order.", server_default="{}"),
    amount("amount", "Amazon's grand total; null where Amazon gives none."),
    text("currency_code", "Its currency, ISO 4217.", nullable=True),
    timestamp("found_at", "When."),
    Index("ix_dry_run_results_found_at", "found_at"),
    schema="ops",
    comment="What dry runs of amazon_orders_to_commerce would have done; purged with ORDERS_VALIDATION_RETENTION_DAYS.",
)
