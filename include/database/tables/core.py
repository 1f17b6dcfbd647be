"""Schema `core`: stores, orders, lines, history, products and shipments in our words and types."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Text

from include.database.tables.metadata import amount, count, flag, metadata, quantity, text, timestamp, typed
from include.domain.statuses import PIPELINE_STATES

stores = Table(
    "stores",
    metadata,
    text("store_name", "Name of the store in stores.yaml, as people see it.", primary_key=True),
    text("account_name", "Account (one seller in one Amazon region)."),
    text("seller_id", "Amazon's seller id."),
    text("region", "na, eu or fe."),
    text("marketplace_id", "Amazon's marketplace id."),
    text("commerce_connection", "Airflow connection of the shop."),
    text("commerce_store_view", "Store view code that the orders go to."),
    text("currency_code", "Currency of the marketplace, ISO 4217."),
    text("seller_central_host", "Host of Seller Central for this marketplace."),
    text("commerce_admin_url", "Base address of the shop's admin pages.", nullable=True),
    flag("is_import_enabled", "False: orders are shown, never created in Commerce."),
    flag("is_connected", "Whether stores.yaml still lists the store."),
    timestamp("connected_at", "When the store was first seen; never changes."),
    timestamp("import_since", "Orders bought before this moment are not imported."),
    text(
        "settings_sha256",
        "SHA-256 of the store's settings; when it changes, orders that were left out are checked again.",
    ),
    text("commerce_problem", "Why its shop could not be used in the last run; null: all is well.", nullable=True),
    text("commerce_problem_dag_run_id", "Airflow run that met this problem.", nullable=True),
    text("amazon_problem", "Why Amazon's listing cannot be read for it; null: all is well.", nullable=True),
    timestamp("amazon_problem_at", "Since when.", nullable=True),
    timestamp("amazon_retry_at", "When Amazon is asked for it again.", nullable=True),
    text("amazon_problem_dag_run_id", "Airflow run that met this problem last.", nullable=True),
    timestamp("import_enabled_at", "Since when import is enabled, without a break; null: disabled.", nullable=True),
    timestamp(
        "amazon_fulfilled_enabled_at",
        "Since when orders that Amazon fulfills are imported without a break; null: they are ignored.",
        nullable=True,
    ),
    timestamp("amazon_fulfilled_since", "Orders that Amazon fulfills, bought before this moment, are not imported."),
    UniqueConstraint("account_name", "marketplace_id"),
    schema="core",
    comment="Stores of stores.yaml, and since when they are connected.",
)

orders = Table(
    "orders",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("account_name", "Account whose listing contained it."),
    text("marketplace_id", "Amazon's marketplace id; null for sales outside Amazon.", nullable=True),
    text(
        "store_name",
        "Store of stores.yaml; null when none is connected to the marketplace.",
        ForeignKey("core.stores.store_name", onupdate="CASCADE"),
        nullable=True,
    ),
    text("amazon_status", "Amazon's fulfillmentStatus as received; UNKNOWN when Amazon sent none."),
    text("fulfilled_by", "MERCHANT, AMAZON or Amazon's own word; null when Amazon sent none.", nullable=True),
    text("service_level", "Amazon's fulfillmentServiceLevel.", nullable=True),
    timestamp("purchased_at", "createdTime."),
    timestamp("amazon_last_updated_at", "lastUpdatedTime of the newest version."),
    timestamp("ship_by_at", "End of Amazon's ship-by window.", nullable=True),
    timestamp("deliver_by_at", "End of Amazon's deliver-by window.", nullable=True),
    amount("grand_total_amount", "proceeds.grandTotal; null while Amazon gives none."),
    amount("line_total_amount", "Sum of the lines' proceeds, to compare with the grand total; null without money."),
    text("currency_code", "Currency of both, ISO 4217.", nullable=True),
    flag("has_total_mismatch", "The lines' sum differs from the grand total by more than the smallest coin per line."),
    typed("programs", ARRAY(Text()), "Amazon's programs, e.g. PRIME, AMAZON_BUSINESS.", server_default="{}"),
    text("replaced_amazon_order_id", "The order that this one replaces or exchanges.", nullable=True),
    count("item_count", "Lines."),
    count("ordered_qty", "Units ordered."),
    count("fulfilled_qty", "Units that Amazon counts as shipped."),
    flag("is_buyer_cancel_requested", "The buyer asks to cancel at least one line."),
    text(
        "pipeline_state",
        "Where the order is in our process: " + "; ".join(f"{s}: {m}" for s, m in PIPELINE_STATES.items()) + ".",
        server_default="new",
    ),
    text("state_reason", "Why it is there, in a short sentence without personal data.", nullable=True),
    text("payload_sha256", "Version in raw.amazon_orders."),
    text("status_dag_run_id", "Airflow run that staged the current Amazon status."),
    text("dag_run_id", "Airflow run that wrote this row last."),
    timestamp("first_seen_at", "When the order was first staged."),
    timestamp("loaded_at", "When this row was written last."),
    CheckConstraint("pipeline_state in ('" + "', '".join(PIPELINE_STATES) + "')", name="pipeline_state"),
    Index(
        "ix_orders_open",
        "store_name",
        "pipeline_state",
        postgresql_where="pipeline_state in ('new', 'waiting', 'blocked', 'ready', 'rejected')",
    ),
    Index("ix_orders_created", "amazon_status", postgresql_where="pipeline_state = 'created'"),
    Index("ix_orders_without_store", "account_name", "marketplace_id", postgresql_where="store_name is null"),
    Index("ix_orders_purchased_at", "purchased_at", "amazon_order_id"),
    schema="core",
    comment="One row per Amazon order: its newest version.",
)

order_items = Table(
    "order_items",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text("amazon_item_id", "Amazon's orderItemId.", primary_key=True),
    count("line_number", "Position in Amazon's document, from 1."),
    text("seller_sku", "Amazon's sellerSku; empty when Amazon sent none."),
    text("asin", "Amazon's catalog id; always text.", nullable=True),
    text("title", "Title on Amazon.", nullable=True),
    count("ordered_qty", "Units ordered."),
    count("fulfilled_qty", "Units that Amazon counts as shipped."),
    text("currency_code", "Currency of the amounts, ISO 4217.", nullable=True),
    amount("unit_price_amount", "Price of one unit."),
    amount("item_amount", "Goods of the whole line (ITEM)."),
    amount("shipping_amount", "Shipping of the whole line (SHIPPING)."),
    amount("gift_wrap_amount", "Gift wrap of the whole line (GIFT_WRAP)."),
    amount("tax_amount", "Tax of the whole line (TAX)."),
    amount("discount_amount", "Discount of the whole line (DISCOUNT), as a positive amount."),
    amount("other_amount", "COD_FEE, OTHER and breakdown types that we do not know."),
    amount("line_total_amount", "proceedsTotal of the line."),
    flag("is_buyer_cancel_requested", "The buyer asks to cancel this line."),
    text("commerce_item_id", "Commerce's order item id, once the order is linked.", nullable=True),
    count("canceled_qty", "Units of ordered_qty that were canceled on Amazon."),
    typed(
        "commerce_qty",
        Integer(),
        "Units that the Commerce order has, less what was canceled since and ops.order_change_outbox has planned; null "
        "until the order is linked.",
        nullable=True,
    ),
    Index(
        "ix_order_items_canceled",
        "amazon_order_id",
        "amazon_item_id",
        postgresql_where="commerce_qty > ordered_qty - canceled_qty",
    ),
    schema="core",
    comment="One row per line of an Amazon order's newest version.",
)

order_status_changes = Table(
    "order_status_changes",
    metadata,
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id"), primary_key=True),
    text("system_code", "amazon or pipeline.", primary_key=True),
    timestamp("changed_at", "When the new state began: Amazon's lastUpdatedTime, or our clock.", primary_key=True),
    text("to_code", "The new state.", primary_key=True),
    text("from_code", "The state before; null for the first.", nullable=True),
    text("reason", "Why, in a short sentence without personal data.", nullable=True),
    timestamp("detected_at", "When we saw it."),
    text("dag_run_id", "Airflow run that saw it."),
    schema="core",
    comment="History of Amazon's status and of our pipeline state of each order.",
)

products = Table(
    "products",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("commerce_store_view", "Store view whose state this is.", primary_key=True),
    text("catalog_sku", "SKU as orders ask for it; the shop compares without case.", primary_key=True),
    text("commerce_product_id", "Commerce's product id; null: not in the catalog.", nullable=True),
    text("commerce_sku", "SKU as the catalog spells it.", nullable=True),
    text("product_name", "Name in the catalog.", nullable=True),
    text("type_id", "simple, virtual, bundle ...", nullable=True),
    flag("is_enabled", "Enabled in the store view."),
    quantity(
        "salable_qty",
        "Free to sell in the store's stock at the last check; null: not limited or not asked.",
        nullable=True,
    ),
    timestamp("checked_at", "When Commerce was asked."),
    text("dag_run_id", "Airflow run that asked."),
    schema="core",
    comment="What the Commerce catalog reported about each ordered SKU at the last check.",
)

shipments = Table(
    "shipments",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("commerce_shipment_id", "Commerce's shipment id (entity_id).", primary_key=True),
    text("commerce_order_id", "Commerce's order id (entity_id)."),
    text("amazon_order_id", "Amazon's order id.", ForeignKey("core.orders.amazon_order_id")),
    timestamp("shipped_at", "When the shipment was made in Commerce."),
    timestamp("loaded_at", "When this row was written last."),
    text("dag_run_id", "Airflow run that wrote it."),
    Index("ix_shipments_amazon_order_id", "amazon_order_id"),
    schema="core",
    comment="Commerce shipments of linked orders.",
)

shipment_items = Table(
    "shipment_items",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("commerce_shipment_id", "Commerce's shipment id.", primary_key=True),
    text("amazon_item_id", "Amazon's orderItemId.", primary_key=True),
    quantity("qty", "Units in this shipment."),
    ForeignKeyConstraint(
        ["commerce_connection", "commerce_shipment_id"],
        ["core.shipments.commerce_connection", "core.shipments.commerce_shipment_id"],
        name="fk_shipment_items_shipment",
    ),
    schema="core",
    comment="Lines of Commerce shipments.",
)

shipment_tracks = Table(
    "shipment_tracks",
    metadata,
    text("commerce_connection", "Airflow connection of the shop.", primary_key=True),
    text("commerce_shipment_id", "Commerce's shipment id.", primary_key=True),
    text("commerce_track_id", "Commerce's track id (entity_id).", primary_key=True),
    text("carrier_code", "Commerce's carrier code.", nullable=True),
    text("carrier_title", "Carrier as people see it.", nullable=True),
    text("tracking_number", "Tracking number."),
    ForeignKeyConstraint(
        ["commerce_connection", "commerce_shipment_id"],
        ["core.shipments.commerce_connection", "core.shipments.commerce_shipment_id"],
        name="fk_shipment_tracks_shipment",
    ),
    schema="core",
    comment="Tracking numbers of Commerce shipments.",
)
