"""Cancellations that people ask Amazon for (DAG cancel_amazon_order), and the feeds that carry them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Table, UniqueConstraint

from include.database.tables.metadata import count, metadata, number, text, timestamp
from include.domain.cancellations import CANCEL_REASONS

CANCELLATION_STATES = ("planned", "submitted", "accepted", "done", "refused", "unconfirmed")
FEED_STATES = ("planned", "uploaded", "sent", "in_doubt", "submitted", "done", "failed")

amazon_feeds = Table(
    "amazon_feeds",
    metadata,
    number("feed_number", "Our number of the feed.", Identity(always=True), primary_key=True),
    text("account_name", "Account."),
    text("marketplace_id", "Amazon's marketplace id."),
    text("feed_type", "Amazon's feed type."),
    text(
        "state",
        "planned, uploaded (Amazon has the document), sent (createFeed is being called), in_doubt (whether Amazon has "
        "the feed is unknown), submitted (it has), done, or failed (refused, aborted, or without a message left).",
    ),
    text("document_id", "Amazon's id of the document that was uploaded.", nullable=True),
    text("amazon_feed_id", "Amazon's id of the feed.", nullable=True),
    text("amazon_status", "Amazon's processingStatus, as read last.", nullable=True),
    count("not_found_count", "Times the feed was looked for in doubt and not found."),
    count("failures", "Attempts in a row that failed; each one lengthens the wait."),
    timestamp("planned_at", "When its messages were put together."),
    timestamp("sent_at", "When createFeed was called last, by Amazon's clock.", nullable=True),
    timestamp("next_attempt_at", "Not before this moment again.", nullable=True),
    timestamp("submitted_at", "When the feed's id was committed here.", nullable=True),
    timestamp("done_at", "When nothing was left to do.", nullable=True),
    text("last_error", "The last failure in a sentence without personal data.", nullable=True),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("updated_at", "When this row was written last."),
    CheckConstraint("state in ('" + "', '".join(FEED_STATES) + "')", name="state"),
    UniqueConstraint("account_name", "amazon_feed_id"),
    Index("ix_amazon_feeds_open", "account_name", postgresql_where="done_at is null"),
    schema="ops",
    comment="Feeds to Amazon, one document of messages each: every step is committed before and after it.",
)

cancellation_outbox = Table(
    "cancellation_outbox",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text("requested_dag_run_id", "Airflow run of cancel_amazon_order that asked for it.", primary_key=True),
    text("account_name", "Account."),
    text("marketplace_id", "Amazon's marketplace id."),
    text("reason", "One of " + ", ".join(CANCEL_REASONS) + "."),
    text("comment", "Why, in the words of the person; no personal data.", nullable=True),
    text("requested_by", "Airflow user who triggered the run."),
    timestamp("requested_at", "When."),
    text(
        "state",
        "planned, submitted (Amazon has the message), accepted (Amazon's report has no error for it), done (Amazon "
        "reports the order as canceled), refused, or unconfirmed (accepted, but the order is still not canceled: a "
        "person looks).",
    ),
    number(
        "feed_number",
        "Feed that carries the message; null: none yet.",
        ForeignKey("ops.amazon_feeds.feed_number"),
        nullable=True,
    ),
    number("message_id", "Number of the message; no two feeds share one.", nullable=True),
    count("attempts", "Feeds that carried it; after the first it goes in a feed of its own."),
    timestamp("next_attempt_at", "Not before this moment again.", nullable=True),
    timestamp("submitted_at", "When Amazon had the message.", nullable=True),
    timestamp("reported_at", "When Amazon's report on it was read.", nullable=True),
    timestamp("done_at", "When nothing was left to do.", nullable=True),
    text("note", "How it stands and what to do, in a sentence without personal data."),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("updated_at", "When this row was written last."),
    CheckConstraint("state in ('" + "', '".join(CANCELLATION_STATES) + "')", name="state"),
    CheckConstraint("reason in ('" + "', '".join(CANCEL_REASONS) + "')", name="reason"),
    Index(
        "ix_cancellation_outbox_once",
        "amazon_order_id",
        unique=True,
        postgresql_where="state in ('planned', 'submitted', 'accepted', 'done')",
    ),
    Index(
        "ix_cancellation_outbox_open",
        "account_name",
        postgresql_where="state in ('planned', 'submitted', 'accepted', 'unconfirmed')",
    ),
    Index("ix_cancellation_outbox_feed_number", "feed_number"),
    schema="ops",
    comment="Cancellations that people asked Amazon for: who, when, why, and what Amazon answered.",
)
