"""What people decided about single orders (DAG repair_amazon_order)."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

from include.database.tables.metadata import metadata, text, timestamp, typed

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
