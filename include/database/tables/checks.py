"""What the checks of orders found: blockers and findings, and how each rule fared."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Identity, Index, Table
from sqlalchemy.dialects.postgresql import JSONB

from include.database.tables.metadata import amount, count, flag, metadata, number, quantity, text, timestamp, typed

blocker_episodes = Table(
    "blocker_episodes",
    metadata,
    number(
        "blocker_episode_id",
        "One stretch of time in which one blocker blocked one line.",
        Identity(always=True),
        primary_key=True,
    ),
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id")),
    text("amazon_item_id", "Amazon's orderItemId; empty when the whole order is meant."),
    text("blocker_code", "Kind of blocker."),
    text("severity", "critical blocks the order, warning flags it, info counts."),
    text("seller_sku", "SKU on Amazon.", nullable=True),
    text("catalog_sku", "SKU that was looked for in Commerce.", nullable=True),
    text("message", "What is wrong, for people."),
    text("remedy", "What to do, for people."),
    quantity("requested_qty", "Units that the line needs.", nullable=True),
    quantity("available_qty", "Units that were free for it.", nullable=True),
    amount("affected_amount", "Goods of the line."),
    text("currency_code", "Currency of that amount, ISO 4217.", nullable=True),
    timestamp("opened_at", "First check that found it."),
    timestamp("last_seen_at", "Last check that found it."),
    timestamp("closed_at", "First check that did not find it any more; null: still open.", nullable=True),
    text("closed_by_code", "solved, canceled or settings_changed.", nullable=True),
    count("check_count", "Checks that found it."),
    text("dag_run_id", "Airflow run that wrote this row last."),
    Index(
        "uq_blocker_episodes_open",
        "amazon_order_id",
        "amazon_item_id",
        "blocker_code",
        unique=True,
        postgresql_where="closed_at is null",
    ),
    Index("ix_blocker_episodes_amazon_order_id", "amazon_order_id"),
    Index(
        "ix_blocker_episodes_findings",
        "amazon_order_id",
        postgresql_where="closed_at is null and severity = 'warning'",
    ),
    schema="ops",
    comment="Blockers as episodes: when each began, when it ended and how.",
)

order_checks = Table(
    "order_checks",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text("rule_group", "catalog or stock.", primary_key=True),
    text("facts_sha256", "SHA-256 of the rules and of the facts that they were checked on."),
    typed("findings", JSONB(), "What was found: list of [amazon_item_id, blocker_code]."),
    timestamp("checked_at", "When these facts were first checked."),
    text("dag_run_id", "Airflow run that checked them."),
    schema="ops",
    comment="Blocked orders and the facts that they were checked on; unchanged facts are not checked again.",
)

validation_results = Table(
    "validation_results",
    metadata,
    text("dag_run_id", "Airflow run that validated.", primary_key=True),
    text("suite_sha256", "Version of the rules.", primary_key=True),
    text("rule_code", "The rule; a blocker code, or the name of a data check.", primary_key=True),
    text("expectation_type", "Great Expectations' name of the check."),
    text("severity", "critical, warning or info."),
    flag("is_success", "No line broke the rule."),
    flag("is_errored", "The check itself failed; nothing is known about the lines."),
    count("evaluated_count", "Order lines checked."),
    count("unexpected_count", "Order lines that broke the rule."),
    count("duration_ms", "Duration of the whole suite in milliseconds."),
    timestamp("validated_at", "When."),
    Index("ix_validation_results_validated_at", "validated_at"),
    schema="ops",
    comment="Results of every rule of every validation that had something to validate.",
)

published_rules = Table(
    "published_rules",
    metadata,
    text("rules_sha256", "SHA-256 of the query and the statuses that make a row.", primary_key=True),
    timestamp("queued_at", "When all orders were queued because these rules were new."),
    schema="ops",
    comment="The rules by which reporting.recent_orders is published, one row. When they change, all rows are redone.",
)
