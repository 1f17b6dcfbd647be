"""Backfills: what was asked for, how far it has come, and which orders it brought. Replays, and Amazon's new fields."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from include.database.tables.metadata import count, flag, metadata, number, text, timestamp, typed

backfills = Table(
    "backfills",
    metadata,
    number("backfill_id", "One backfill.", Identity(always=True), primary_key=True),
    text("account_name", "Account (stores.yaml)."),
    text("request_sha256", "SHA-256 of what was asked for; the same again goes on with an unfinished one."),
    typed("marketplace_ids", ARRAY(Text()), "Marketplaces that are listed; empty for a list of orders."),
    timestamp(
        "created_from", "Orders created on Amazon from this moment on; null for a list of orders.", nullable=True
    ),
    timestamp("created_to", "Until this moment.", nullable=True),
    timestamp("read_from", "What was created from here to created_to has landed; newest first.", nullable=True),
    flag("create_in_commerce", "Whether Commerce orders are created for them, also if bought before import_since."),
    count("window_count", "Windows that have landed."),
    count("page_count", "Pages that have landed; of a list of orders: orders."),
    count("order_count", "Orders on these pages."),
    count("quarantined_count", "Of these, orders that cannot be read."),
    count("failures", "Tries in a row without an answer of Amazon."),
    timestamp("started_at", "When it began."),
    timestamp("progressed_at", "When its last page landed.", nullable=True),
    timestamp("finished_at", "When everything that was asked for had landed.", nullable=True),
    text("dag_run_id", "Airflow run of backfill_amazon_orders that worked on it last."),
    Index("uq_backfills_open", "account_name", "request_sha256", unique=True, postgresql_where="finished_at is null"),
    Index("ix_backfills_dag_run_id", "dag_run_id"),
    CheckConstraint("(created_from is null) = (created_to is null)", name="range"),
    schema="ops",
    comment="Stretches of an account's past, or lists of orders, that people had fetched from Amazon.",
)

backfill_orders = Table(
    "backfill_orders",
    metadata,
    number("backfill_id", "The backfill.", ForeignKey("ops.backfills.backfill_id"), primary_key=True),
    text("amazon_order_id", "Amazon's order id, as it was given.", primary_key=True),
    count("attempts", "Times Amazon was asked for it without an answer."),
    text("problem", "Why it could not be read, and what to do.", nullable=True),
    timestamp("done_at", "When it landed, or was given up with a problem.", nullable=True),
    Index("ix_backfill_orders_open", "backfill_id", "amazon_order_id", postgresql_where="done_at is null"),
    schema="ops",
    comment="The orders of backfills that were given a list of order ids: each is read once.",
)

backfilled_orders = Table(
    "backfilled_orders",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("account_name", "Account."),
    flag("create_in_commerce", "A person wants it in Commerce; false: the backfill alone must create nothing."),
    flag("is_lifted", "The account's own listing has brought it, too: the mark counts no more."),
    flag("is_settled", "Validation has taken the order up since the mark changed."),
    number("backfill_id", "The backfill that marked it."),
    timestamp("marked_at", "When."),
    text("dag_run_id", "Airflow run that wrote this row last."),
    Index("ix_backfilled_orders_unsettled", "amazon_order_id", postgresql_where="not is_settled"),
    schema="ops",
    comment="Orders that a backfill brought first, or that it brought for Commerce.",
)

replay_differences = Table(
    "replay_differences",
    metadata,
    text("dag_run_id", "Airflow run of replay_amazon_orders.", primary_key=True),
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("amazon_item_id", "Amazon's orderItemId; empty when the order itself is meant.", primary_key=True),
    text("column_name", "Column of core.orders or core.order_items; line: the whole line.", primary_key=True),
    text("before", "What core has, as text; null: nothing.", nullable=True),
    text("after", "What raw says, as text; null: nothing.", nullable=True),
    timestamp("found_at", "When."),
    timestamp("written_at", "When core was changed accordingly; null: it was not.", nullable=True),
    Index("ix_replay_differences_found_at", "found_at"),
    schema="ops",
    comment="What replays of Amazon's orders found to differ between core and raw, before anything was written.",
)

schema_drift = Table(
    "schema_drift",
    metadata,
    text("path", "Where it is in Amazon's order document.", primary_key=True),
    text("kind", "field (unknown to our contract), value (a new code) or breach (of the contract).", primary_key=True),
    text("code", "The new code, or the rule that is broken; empty for a field.", primary_key=True),
    count("order_count", "Versions of orders that had it; each is counted once."),
    timestamp("first_seen_at", "First time."),
    timestamp("last_seen_at", "Last time in a new version."),
    text("example_order_id", "An order that had it last; null: without a readable id.", nullable=True),
    text("dag_run_id", "Airflow run that saw it last."),
    CheckConstraint("kind in ('field', 'value', 'breach')", name="kind"),
    schema="ops",
    comment="What Amazon's orders have and our contract does not; names and codes only, no values.",
)
