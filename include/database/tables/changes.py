"""What is changed in Commerce after an order was created there."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, Table
from sqlalchemy.dialects.postgresql import JSONB

from include.database.tables.metadata import count, metadata, text, timestamp, typed

ORDER_CHANGE_KINDS = ("canceled_units", "hold", "release", "address")
ORDER_CHANGE_STATES = ("planned", "sent", "in_doubt", "done", "rejected", "skipped")

order_change_outbox = Table(
    "order_change_outbox",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text(
        "kind",
        "canceled_units: Amazon canceled units after the Commerce order existed; hold: the buyer asked to cancel; "
        "release: that request is gone, and the hold ends; address: Amazon gave the delivery address, or another one "
        "(it is in pii.order_contacts only).",
        primary_key=True,
    ),
    text(
        "payload_sha256",
        "Version of the Amazon order that brought the change; for an address, the version known before.",
        primary_key=True,
    ),
    text("account_name", "Account."),
    text("commerce_connection", "Airflow connection of the shop."),
    typed(
        "items",
        JSONB(),
        "The lines of canceled_units: list of {amazon_item_id, commerce_item_id, seller_sku, canceled_qty, keep_qty}; "
        "keep_qty is what Amazon still wants shipped or has shipped, in Commerce's units.",
        server_default="[]",
    ),
    text(
        "state",
        "planned, sent (being sent to Commerce), in_doubt (outcome unknown), done, rejected (Commerce refused it), or "
        "skipped (nothing could be done: shipped already, or gone from Commerce).",
    ),
    count("attempts", "Times it was sent to Commerce."),
    count("refusals", "Refusals; too many end the tries."),
    count("failures", "Attempts in a row that failed although the shop answered; each one lengthens the wait."),
    count("not_found_count", "Times the Commerce order was read in doubt and showed nothing of the change."),
    timestamp("planned_at", "When the change was planned."),
    timestamp("sent_at", "When it was sent last.", nullable=True),
    timestamp("next_attempt_at", "Not before this moment again.", nullable=True),
    timestamp("done_at", "When nothing was left to do.", nullable=True),
    timestamp("over_at", "Of a hold: when the buyer's request was gone.", nullable=True),
    text("note", "What was done, or why not and what to do, in a sentence without personal data.", nullable=True),
    text("last_error_code", "Code of the last failure.", nullable=True),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("updated_at", "When this row was written last."),
    CheckConstraint("kind in ('" + "', '".join(ORDER_CHANGE_KINDS) + "')", name="kind"),
    CheckConstraint("state in ('" + "', '".join(ORDER_CHANGE_STATES) + "')", name="state"),
    Index(
        "ix_order_change_outbox_hold",
        "amazon_order_id",
        postgresql_where="kind = 'hold' and over_at is null",
        unique=True,
    ),
    Index("ix_order_change_outbox_planned_at", "planned_at", postgresql_where="kind = 'canceled_units'"),
    Index("ix_order_change_outbox_open", "account_name", postgresql_where="done_at is null"),
    schema="ops",
    comment="Changes on Amazon that are carried out in Commerce after an order was created: intent, attempts, outcome.",
)
