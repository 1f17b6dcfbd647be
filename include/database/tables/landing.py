"""Schemas `raw` and `pii`: documents as they came, the personal part split off and encrypted."""

from __future__ import annotations

from sqlalchemy import Identity, Index, LargeBinary, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

from include.database.tables.metadata import flag, metadata, number, text, timestamp, typed

amazon_orders = Table(
    "amazon_orders",
    metadata,
    number("amazon_order_version_id", "One landed version of one order.", Identity(always=True), primary_key=True),
    text("amazon_order_id", "Amazon's order id."),
    text("account_name", "Account (stores.yaml) whose listing contained it."),
    timestamp("last_updated_at", "lastUpdatedTime of this version."),
    text("payload_sha256", "SHA-256 of the payload below, in canonical JSON; tells versions apart."),
    typed(
        "payload",
        JSONB(),
        "Amazon's order document without personal data and without fields that our contract does not know.",
    ),
    typed(
        "contract_findings",
        ARRAY(Text()),
        "Paths that Amazon's answer has and our contract does not, and unknown enum values; paths and codes only.",
        server_default="{}",
    ),
    number("ingest_window_id", "Window whose page contained this version first; old windows are purged."),
    number("page_number", "Page of that window, from 1."),
    timestamp("fetched_at", "When the page was fetched."),
    text("dag_run_id", "Airflow run that fetched it."),
    UniqueConstraint("amazon_order_id", "last_updated_at", "payload_sha256"),
    Index("ix_amazon_orders_page", "ingest_window_id", "page_number"),
    schema="raw",
    comment="Every version of every Amazon order that a listing showed us, without personal data.",
)

commerce_shipments = Table(
    "commerce_shipments",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("commerce_shipment_id", "Commerce's shipment id (entity_id).", primary_key=True),
    text("payload_sha256", "SHA-256 of the payload below, in canonical JSON.", primary_key=True),
    text("commerce_order_id", "Commerce's order id (entity_id)."),
    text("amazon_order_id", "The Amazon order that the Commerce order was made for."),
    typed("payload", JSONB(), "The shipment's ids, times, items and tracks; no address, no name."),
    timestamp("fetched_at", "When it was fetched."),
    text("dag_run_id", "Airflow run that fetched it."),
    flag("is_staged", "Whether core.shipments holds this version or a newer one."),
    Index("ix_commerce_shipments_unstaged", "amazon_order_id", postgresql_where="not is_staged"),
    schema="raw",
    comment="Every version of every Commerce shipment of a linked order that we saw.",
)

order_contacts = Table(
    "order_contacts",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    typed(
        "contact_encrypted",
        LargeBinary(),
        "Fernet token of a JSON document: the personal fields and the fields unknown to our contract, at their paths.",
    ),
    timestamp("last_updated_at", "lastUpdatedTime of the newest version that this row holds."),
    timestamp("loaded_at", "When this row was written."),
    schema="pii",
    comment="Personal data of each order (buyer, recipient, gift messages ...), encrypted with ORDERS_PII_KEYS.",
)

quarantined_payloads = Table(
    "quarantined_payloads",
    metadata,
    text("payload_sha256", "Key of ops.quarantined_orders.", primary_key=True),
    typed("payload_encrypted", LargeBinary(), "Fernet token of the whole document as Amazon sent it."),
    timestamp("loaded_at", "When this row was written."),
    schema="pii",
    comment="Whole documents of quarantined orders, encrypted: they can contain personal data anywhere.",
)
