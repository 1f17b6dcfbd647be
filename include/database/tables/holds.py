"""Writes to Commerce that are stopped until a person decides (DAG approve_held_writes), and what is normal."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Numeric, Text

from include.database.tables.metadata import amount, count, metadata, number, text, timestamp, typed
from include.domain.write_holds import DECISIONS, HOLD_KINDS, REASON_CODES

write_holds = Table(
    "write_holds",
    metadata,
    number("write_hold_id", "One stop of the writes of one store.", Identity(always=True), primary_key=True),
    text("store_name", "Store (stores.yaml).", ForeignKey("core.stores.store_name", onupdate="CASCADE")),
    text("account_name", "Account of the store."),
    text(
        "kind",
        "What is stopped: orders (creating Commerce orders), cancellations (canceling Commerce orders) or refunds "
        "(credit memos).",
    ),
    text(
        "reason_code",
        "blocked_rate (many orders are blocked), price (totals far off the usual), volume (more than usual), refusals "
        "(Commerce refuses one order after the other) or totals (Commerce orders have other totals than Amazon's).",
    ),
    text("reason", "The same in a sentence, with the numbers; no personal data."),
    typed("seen_value", Numeric(20, 4), "The number that was seen: a count, a percentage or an amount."),
    typed("limit_value", Numeric(20, 4), "The number from which on the writes are stopped."),
    typed("order_ids", ARRAY(Text()), "The only orders that are stopped; null: all of the store.", nullable=True),
    timestamp("opened_at", "When the writes were stopped."),
    timestamp(
        "approved_at",
        "When a person approved them or, after refusals, one of the refused orders passed; null: they are stopped.",
        nullable=True,
    ),
    timestamp("approved_until", "Nothing is stopped again for this store and kind before.", nullable=True),
    text("dag_run_id", "Airflow run that wrote this row last."),
    CheckConstraint("kind in ('" + "', '".join(HOLD_KINDS) + "')", name="kind"),
    CheckConstraint("reason_code in ('" + "', '".join(REASON_CODES) + "')", name="reason_code"),
    Index("uq_write_holds_open", "store_name", "kind", unique=True, postgresql_where="approved_at is null"),
    Index("ix_write_holds_store_name", "store_name", "kind", "approved_until"),
    schema="ops",
    comment="Stops of the writes to Commerce of one store, until a person approves them: why, since when, until when.",
)

write_hold_decisions = Table(
    "write_hold_decisions",
    metadata,
    number("write_hold_id", "The stop.", ForeignKey("ops.write_holds.write_hold_id"), primary_key=True),
    text("dag_run_id", "Airflow run of approve_held_writes.", primary_key=True),
    text("decision", "approve, or decline: the writes stay stopped."),
    text("comment", "Why, in the words of the person; no personal data.", nullable=True),
    text("decided_by", "Airflow user who decided; time-out: nobody did in time."),
    timestamp("decided_at", "When."),
    CheckConstraint("decision in ('" + "', '".join(DECISIONS) + "')", name="decision"),
    schema="ops",
    comment="What people decided about stopped writes: who, when, what and why.",
)

store_norms = Table(
    "store_norms",
    metadata,
    text(
        "store_name",
        "Store (stores.yaml).",
        ForeignKey("core.stores.store_name", onupdate="CASCADE", ondelete="CASCADE"),
        primary_key=True,
    ),
    count("order_count", "Orders bought that went through, or were left to Seller Central."),
    count("day_count", "Days on which such orders were bought."),
    count("busiest_day_count", "Such orders of the busiest day (UTC)."),
    amount("low_amount", "The total that 99 of 100 such orders reach."),
    amount("median_amount", "The total in the middle."),
    amount("high_amount", "The total that 1 of 100 such orders exceeds."),
    text("currency_code", "Currency of the amounts, ISO 4217.", nullable=True),
    count("checked_count", "Orders bought that were checked against the catalog."),
    count("blocked_count", "Those of them that were blocked at some time."),
    count("busiest_cancellation_count", "Most cancellations in Commerce planned on one day (UTC)."),
    count("busiest_refund_count", "Most credit memos planned on one day (UTC)."),
    timestamp("computed_at", "When; the days before, without the last 24 hours."),
    text("dag_run_id", "Airflow run that computed it."),
    schema="ops",
    comment="What is normal for each store (ORDERS_BREAKER_HISTORY_DAYS); computed anew once a day while orders wait.",
)
