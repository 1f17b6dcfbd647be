"""Schema `ops`: windows, outboxes, blockers, limits and calls."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Date, ForeignKey, Identity, Index, Numeric, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSTZMULTIRANGE
from sqlalchemy.types import Text

from include.database.tables.metadata import amount, count, flag, metadata, number, text, timestamp, typed

ORDER_OUTBOX_STATES = ("planned", "sent", "in_doubt", "created", "adopted", "rejected", "canceled")
SHIPMENT_OUTBOX_STATES = ("planned", "sent", "in_doubt", "accepted", "rejected", "skipped")

ingest_windows = Table(
    "ingest_windows",
    metadata,
    number("ingest_window_id", "One requested window.", Identity(always=True), primary_key=True),
    text("account_name", "Account (stores.yaml)."),
    text(
        "kind",
        "live: up to now, read first; history: what is not covered yet; backfill: by creation, for backfill_id; "
        "single: one order, read by its id.",
        server_default="live",
    ),
    number("backfill_id", "Backfill that it belongs to; 0: none.", server_default="0"),
    typed("marketplace_ids", ARRAY(Text()), "Marketplaces that it asks for.", server_default="{}"),
    timestamp("updated_from", "lastUpdatedAfter that was asked; of a backfill, createdAfter."),
    timestamp("updated_to", "The Before that was asked, or the earlier end that Amazon says it used."),
    typed("query", JSONB(), "Query parameters of every page, frozen: Amazon wants them identical."),
    text("next_token", "Token of the next page to fetch; null before the first and after the last.", nullable=True),
    timestamp("next_token_at", "When Amazon gave that token; it lives 24 hours.", nullable=True),
    count("page_count", "Pages landed."),
    count("orders_seen", "Orders on these pages."),
    count("orders_quarantined", "Orders on these pages that broke the contract."),
    text("state", "open, landed, or abandoned (its token died; the next window starts at the same point)."),
    timestamp("opened_at", "When the window was opened."),
    timestamp("landed_at", "When its last page landed.", nullable=True),
    text("dag_run_id", "Airflow run that opened it."),
    CheckConstraint("state in ('open', 'landed', 'abandoned')", name="state"),
    CheckConstraint("kind in ('live', 'history', 'backfill', 'single')", name="kind"),
    Index(
        "uq_ingest_windows_open",
        "account_name",
        "kind",
        "backfill_id",
        unique=True,
        postgresql_where="state = 'open'",
    ),
    Index("ix_ingest_windows_account_name", "account_name", "kind", "ingest_window_id"),
    Index("ix_ingest_windows_opened_at", "opened_at"),
    schema="ops",
    comment="Windows of Amazon's order listing, as they were asked for; ops.ingest_coverage says what they add up to.",
)

ingest_coverage = Table(
    "ingest_coverage",
    metadata,
    text("account_name", "Account (stores.yaml).", primary_key=True),
    text("marketplace_id", "Amazon's marketplace id.", primary_key=True),
    typed(
        "covered",
        TSTZMULTIRANGE(),
        "Stretches of Amazon's order listing (by lastUpdatedTime) that have landed; what is missing since the store's "
        "start is fetched as history.",
    ),
    timestamp("watermark", "End of the newest live window that has landed.", nullable=True),
    text("dag_run_id", "Airflow run that landed the last window."),
    schema="ops",
    comment="How far Amazon's order listing has been read, per account and marketplace.",
)

ingest_pages = Table(
    "ingest_pages",
    metadata,
    number("ingest_window_id", "The window.", ForeignKey("ops.ingest_windows.ingest_window_id"), primary_key=True),
    number("page_number", "From 1.", primary_key=True),
    text("page_sha256", "SHA-256 of the page's order ids and versions: Amazon can repeat a page under another token."),
    count("orders_seen", "Orders on the page."),
    timestamp("landed_at", "When the page was committed."),
    timestamp("staged_at", "When its orders reached core; null until then.", nullable=True),
    text("request_id", "Amazon's request id, for support.", nullable=True),
    Index("ix_ingest_pages_unstaged", "ingest_window_id", "page_number", postgresql_where="staged_at is null"),
    schema="ops",
    comment="Pages of the windows: landed one by one, staged one by one.",
)

quarantined_orders = Table(
    "quarantined_orders",
    metadata,
    text(
        "payload_sha256",
        "SHA-256 of the document in pii.quarantined_payloads, or of the payload in raw.amazon_orders if staging "
        "set it aside.",
        primary_key=True,
    ),
    text("account_name", "Account whose listing contained it."),
    text("amazon_order_id", "Amazon's order id, if the document has a readable one.", nullable=True),
    typed("findings", ARRAY(Text()), "What is wrong, as paths and rules, without values."),
    text("remedy", "What a person can do."),
    text("quarantined_by", "Step that set it aside.", server_default="extract_amazon_orders"),
    count("seen_count", "How often a listing showed this document."),
    timestamp("first_seen_at", "First time."),
    timestamp("last_seen_at", "Last time."),
    timestamp("released_at", "When a sound version of the order landed.", nullable=True),
    text("contract_sha256", "Contract that it broke; under another one it is read again.", nullable=True),
    count("read_count", "Times the order was read again by its id since."),
    timestamp("next_read_at", "When it is read again; the distance doubles up to a week.", nullable=True),
    text("dag_run_id", "Airflow run that saw it last."),
    Index("ix_quarantined_orders_amazon_order_id", "amazon_order_id"),
    Index("ix_quarantined_orders_open", "account_name", "amazon_order_id", postgresql_where="released_at is null"),
    schema="ops",
    comment="Orders that Amazon sent in a form that we cannot read or store: set aside, so that the rest goes on.",
)

order_outbox = Table(
    "order_outbox",
    metadata,
    text(
        "amazon_order_id",
        "Amazon's order id: one intended Commerce order each.",
        ForeignKey("core.orders.amazon_order_id"),
        primary_key=True,
    ),
    text("account_name", "Account."),
    text("store_name", "Store of stores.yaml."),
    text("commerce_connection", "Airflow connection of the shop."),
    text("commerce_store_view", "Store view code that the order goes to."),
    text("increment_id", "Order number that we ask for; null: Commerce draws one.", nullable=True),
    text("state", "One of " + ", ".join(ORDER_OUTBOX_STATES) + "."),
    text("request_sha256", "SHA-256 of the order document that was sent.", nullable=True),
    count("attempts", "Times the order was posted."),
    count("refusals", "Refusals since Amazon changed the order last; too many end the tries."),
    count("failures", "Attempts in a row that failed although the shop answered; each one lengthens the wait."),
    count("not_found_count", "Times an in-doubt order was looked for and not found."),
    timestamp("planned_at", "When validation planned the order."),
    timestamp("sent_at", "When it was posted last.", nullable=True),
    timestamp("next_attempt_at", "Not before this moment again.", nullable=True),
    timestamp(
        "needs_attention_at", "When the automatic attempts were used up; null: the row is worked on.", nullable=True
    ),
    text("last_error_code", "Code of the last failure.", nullable=True),
    text("last_error", "The last failure in a sentence without personal data.", nullable=True),
    text("commerce_order_id", "Commerce's order id (entity_id).", nullable=True),
    text("commerce_order_number", "Commerce's order number (increment_id).", nullable=True),
    timestamp("linked_at", "When the Commerce order's id was committed here.", nullable=True),
    text("linked_dag_run_id", "Airflow run that linked it.", nullable=True),
    timestamp("invoiced_at", "When the Commerce order was invoiced.", nullable=True),
    timestamp("finished_at", "When nothing was left to do for the creation (invoice, status).", nullable=True),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("updated_at", "When this row was written last."),
    timestamp(
        "stock_released_at",
        "When its units stopped counting as taken: shipped in Commerce, or the Commerce order is closed, complete or "
        "canceled; null while they count.",
        nullable=True,
    ),
    text(
        "refusal_cause",
        "Digest of why Commerce refused it last, whatever the text names: orders refused for one cause share it.",
        nullable=True,
    ),
    timestamp(
        "contact_loaded_at",
        "Version of the contact (loaded_at in pii.order_contacts) that the Commerce order was made with or that was "
        "planned for it since; null: none was known.",
        nullable=True,
    ),
    typed(
        "exchange_rate",
        Numeric(20, 10),
        "Rate with which its amounts were converted when it was sent; null: they were not.",
        nullable=True,
    ),
    typed("exchange_rate_date", Date(), "Day of that rate.", nullable=True),
    text("exchange_rate_source", "Who published that rate.", nullable=True),
    amount("converted_amount", "Grand total of the Commerce order, converted."),
    text("currency_code", "Currency of converted_amount, ISO 4217.", nullable=True),
    flag("has_other_total", "Commerce's total differed from Amazon's when the order was linked."),
    Index("ix_order_outbox_linked_at", "store_name", "linked_at", postgresql_where="linked_at is not null"),
    Index("ix_order_outbox_refused", "store_name", "updated_at", postgresql_where="state = 'rejected'"),
    Index("ix_order_outbox_rejected", "commerce_connection", "refusal_cause", postgresql_where="state = 'rejected'"),
    CheckConstraint("state in ('" + "', '".join(ORDER_OUTBOX_STATES) + "')", name="state"),
    CheckConstraint("(state in ('created', 'adopted')) = (commerce_order_id is not null)", name="linked"),
    UniqueConstraint("commerce_connection", "commerce_order_id"),
    UniqueConstraint("commerce_connection", "commerce_store_view", "increment_id"),
    Index(
        "ix_order_outbox_open",
        "account_name",
        "commerce_connection",
        postgresql_where=(
            "finished_at is null and needs_attention_at is null "
            "and state in ('planned', 'sent', 'in_doubt', 'created', 'adopted')"
        ),
    ),
    Index(
        "ix_order_outbox_stock",
        "amazon_order_id",
        postgresql_where=(
            "stock_released_at is null and state in ('planned', 'sent', 'in_doubt', 'created', 'adopted')"
        ),
    ),
    schema="ops",
    comment="One intended Commerce order per Amazon order: intent, attempts, outcome.",
)

commerce_cursors = Table(
    "commerce_cursors",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("name", "What is read by change: shipments or orders.", primary_key=True),
    timestamp("watermark", "Everything that changed before is landed; by the shop's own clock."),
    timestamp("updated_at", "When this row was written last."),
    text("dag_run_id", "Airflow run that wrote it."),
    schema="ops",
    comment="How far the changes of each shop are read.",
)

shipment_sweep = Table(
    "shipment_sweep",
    metadata,
    text(
        "amazon_order_id",
        "Amazon's order id; leaves when the order is finished and was read a last time.",
        ForeignKey("core.orders.amazon_order_id"),
        primary_key=True,
    ),
    timestamp("swept_at", "When Commerce was asked about the order last; at first, when it was linked."),
    Index("ix_shipment_sweep_swept_at", "swept_at", "amazon_order_id"),
    schema="ops",
    comment=(
        "Linked orders whose shipments are read again and again, in small portions: a track that is added later moves "
        "no time stamp in Commerce."
    ),
)

shipment_outbox = Table(
    "shipment_outbox",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text(
        "package_reference_id",
        "Our number of the package within the order (digits); the same for every try.",
        primary_key=True,
    ),
    text("account_name", "Account."),
    text("marketplace_id", "Amazon's marketplace id."),
    text("commerce_connection", "Airflow connection of the shop."),
    text("commerce_shipment_id", "Commerce's shipment id."),
    text("commerce_track_id", "Commerce's track id."),
    text("carrier_code", "Amazon's carrier code; Other when we have none."),
    text("carrier_name", "Carrier in words, when the code is Other.", nullable=True),
    text("shipping_method", "Shipping service.", nullable=True),
    text("tracking_number", "Tracking number."),
    timestamp("shipped_at", "Ship date that is confirmed to Amazon."),
    typed("items", JSONB(), "Lines in this package: list of {amazon_item_id, qty}."),
    text("state", "One of " + ", ".join(SHIPMENT_OUTBOX_STATES) + "."),
    count("attempts", "Times it was sent to Amazon."),
    count("verify_count", "Times Amazon was read since then without the package."),
    count("failures", "Attempts in a row that failed although Amazon answered; each one lengthens the wait."),
    timestamp("planned_at", "When the package was first seen."),
    timestamp("sent_at", "When it was sent last.", nullable=True),
    timestamp("next_attempt_at", "Not before this moment again.", nullable=True),
    timestamp("accepted_at", "When Amazon first showed the package.", nullable=True),
    text("last_error_code", "Code of the last failure.", nullable=True),
    text("last_error", "The last failure, or why it was skipped, in a sentence.", nullable=True),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("updated_at", "When this row was written last."),
    CheckConstraint("state in ('" + "', '".join(SHIPMENT_OUTBOX_STATES) + "')", name="state"),
    UniqueConstraint("commerce_connection", "commerce_shipment_id", "commerce_track_id"),
    Index(
        "ix_shipment_outbox_open", "account_name", "state", postgresql_where="state in ('planned', 'sent', 'in_doubt')"
    ),
    schema="ops",
    comment="One package per row that is to be confirmed to Amazon: intent, attempts, Amazon's acceptance.",
)

rate_limits = Table(
    "rate_limits",
    metadata,
    text("application_id", "Client id of the application.", primary_key=True),
    text("account_name", "Account.", primary_key=True),
    text("region", "na, eu or fe.", primary_key=True),
    text("operation", "Operation of the Selling Partner API.", primary_key=True),
    typed("rate_per_second", Numeric(12, 6), "Refill, requests per second; learned from x-amzn-RateLimit-Limit."),
    typed("burst", Numeric(12, 6), "Size of the bucket."),
    typed("tokens", Numeric(12, 6), "Requests left at refilled_at."),
    timestamp("refilled_at", "Moment that `tokens` speaks of."),
    timestamp("blocked_until", "Amazon throttled us: no call before this moment.", nullable=True),
    schema="ops",
    comment="Token buckets shared by every process, one per application, account, region and operation.",
)

api_calls = Table(
    "api_calls",
    metadata,
    number("api_call_id", "One HTTP request.", Identity(always=True), primary_key=True),
    text("system_code", "amazon or commerce."),
    text("connection", "Airflow connection used."),
    text("operation", "Operation of that system's API."),
    typed("status_code", Numeric(3, 0), "HTTP status; null: no answer.", nullable=True),
    flag("is_throttled", "The answer was 429."),
    typed("rate_limit", Numeric(12, 6), "x-amzn-RateLimit-Limit.", nullable=True),
    text("request_id", "x-amzn-RequestId, for support.", nullable=True),
    count("duration_ms", "Milliseconds until the whole answer was read."),
    timestamp("called_at", "When the request began."),
    Index("ix_api_calls_called_at", "called_at"),
    schema="ops",
    comment="Ledger of every request to both systems; no bodies.",
)

orders_to_publish = Table(
    "orders_to_publish",
    metadata,
    number("queue_id", "Position in the queue.", Identity(always=True), primary_key=True),
    text("amazon_order_id", "Amazon's order id; an order may be queued more than once."),
    schema="ops",
    comment=(
        "Orders whose row in reporting.recent_orders may be out of date. Triggers fill it in the transaction that "
        "changes the order (include/database/triggers), publish_recent_orders empties it."
    ),
)

api_calls_hourly = Table(
    "api_calls_hourly",
    metadata,
    timestamp("hour_at", "Beginning of the hour in which the requests began.", primary_key=True),
    text("system_code", "amazon or commerce.", primary_key=True),
    text("connection", "Airflow connection used.", primary_key=True),
    text("operation", "Operation of that system's API.", primary_key=True),
    text("status_class", "2xx, 3xx, 4xx or 5xx; none: no answer.", primary_key=True),
    count("call_count", "Requests."),
    count("throttled_count", "Requests answered with 429."),
    number("total_duration_ms", "Sum of their durations in milliseconds."),
    count("max_duration_ms", "The longest of them."),
    schema="ops",
    comment="What is left of the purged rows of ops.api_calls: one row per hour and kind of answer.",
)
