"""Schema `reporting`: dimensions and facts for analysts. `include/database/facts.py` writes them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Table
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Date, Numeric, Text

from include.database.tables.metadata import amount, count, flag, metadata, number, quantity, text, timestamp, typed

_WHOSE_DAY = "in the marketplace's time zone; UTC where there is no known marketplace"


def _provenance() -> tuple[Column[Any], ...]:
    return (
        timestamp("loaded_at", "When this row was written, UTC."),
        text("dag_run_id", "Airflow run that wrote this row."),
    )


dim_marketplaces = Table(
    "dim_marketplaces",
    metadata,
    text("marketplace_id", "Amazon's marketplace id.", primary_key=True),
    text("country_code", "Country, ISO 3166-1."),
    text("region", "Amazon's region: na, eu or fe."),
    text("currency_code", "Currency of the marketplace, ISO 4217."),
    text("time_zone", "Time zone of its days, by its name in the IANA database."),
    flag(
        "has_prices_with_tax", "Prices, and so the amounts of orders, include tax; otherwise tax comes on top of them."
    ),
    *_provenance(),
    schema="reporting",
    comment="Amazon's marketplaces, connected or not, with the time zone of their days.",
)

dim_stores = Table(
    "dim_stores",
    metadata,
    text("store_name", "Store (stores.yaml).", primary_key=True),
    text("account_name", "Account: one seller in one Amazon region."),
    text("marketplace_id", "Amazon's marketplace id."),
    text("currency_code", "Currency of the marketplace, ISO 4217."),
    text("commerce_connection", "Airflow connection of the shop."),
    text("commerce_store_view", "Store view that the orders go to."),
    flag("is_import_enabled", "False: orders are shown, never created in Commerce."),
    flag("is_connected", "Whether stores.yaml still lists the store."),
    timestamp("connected_at", "When the store was first seen, UTC."),
    timestamp("import_since", "Orders bought before this moment are not imported, UTC."),
    typed("at_risk_hours", Numeric(8, 2), "Hours before the ship-by time from which an open order is at risk."),
    *_provenance(),
    schema="reporting",
    comment="The stores of stores.yaml, also former ones. Orders of no store have their account's name instead.",
)

dim_blocker_codes = Table(
    "dim_blocker_codes",
    metadata,
    text("blocker_code", "Kind of blocker or finding.", primary_key=True),
    text("severity", "critical blocks the order, warning flags it, info counts."),
    text("title", "What it is, in a few words."),
    text("remedy", "What to do."),
    *_provenance(),
    schema="reporting",
    comment="The kinds of blockers and findings, and what to do about each.",
)

fct_orders = Table(
    "fct_orders",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("store_name", "Store (stores.yaml); the account's name for an order of no connected store."),
    text("account_name", "Account whose listing contained it."),
    text("marketplace_id", "Amazon's marketplace id; null for sales outside Amazon.", nullable=True),
    text("time_zone", "Time zone of the row's days."),
    timestamp("purchased_at", "When the buyer bought, UTC."),
    typed("purchased_on", Date(), f"The day of the purchase, {_WHOSE_DAY}."),
    timestamp("last_updated_at", "Amazon's last update of the order, UTC."),
    text("amazon_status", "Amazon's status as received."),
    text("status", "The status that people see, as in recent_orders."),
    text("pipeline_state", "Where the order is in our process, as in recent_orders."),
    text("fulfilled_by", "MERCHANT or AMAZON.", nullable=True),
    text("service_level", "Amazon's service level.", nullable=True),
    typed("programs", ARRAY(Text()), "Amazon's programs, such as PRIME.", server_default="{}"),
    flag("is_replacement", "It replaces or exchanges another order."),
    flag("is_importable", "Whether the order belongs in Commerce, as in recent_orders."),
    flag("is_blocked", "Something prevents its creation or its completion in Commerce, as in recent_orders."),
    flag("is_canceled", "Amazon says that the order is canceled or cannot be fulfilled."),
    flag("is_buyer_cancel_requested", "The buyer asks to cancel at least one line."),
    text(
        "canceled_by",
        "BUYER, MERCHANT or AMAZON: who canceled what was canceled; several if they differ by line; null: nothing was "
        "canceled, or Amazon does not say.",
        nullable=True,
    ),
    timestamp("ship_by_at", "Latest moment to ship, UTC.", nullable=True),
    typed("ship_by_on", Date(), f"The day of that moment, {_WHOSE_DAY}.", nullable=True),
    timestamp("deliver_by_at", "Latest moment to deliver, UTC.", nullable=True),
    timestamp("landed_at", "When the order was first staged here, UTC."),
    timestamp("released_at", "When Amazon first showed it as ready to ship or shipped, UTC.", nullable=True),
    timestamp("created_in_commerce_at", "When its Commerce order was linked, UTC; null: it has none.", nullable=True),
    typed("created_in_commerce_on", Date(), f"The day of that moment, {_WHOSE_DAY}.", nullable=True),
    timestamp("shipped_at", "When Amazon first counted the whole order as shipped, UTC.", nullable=True),
    timestamp("canceled_at", "When Amazon first showed it as canceled, UTC.", nullable=True),
    count("item_count", "Lines."),
    count("ordered_qty", "Units ordered, canceled ones included."),
    count("canceled_qty", "Units of these that were canceled."),
    count("fulfilled_qty", "Units that Amazon counts as shipped."),
    text(
        "currency_code",
        "Currency of the amounts, ISO 4217; the marketplace's own while Amazon gives no amount.",
        nullable=True,
    ),
    amount(
        "item_amount",
        "Goods of the lines that are not canceled, before discounts; with tax if dim_marketplaces.has_prices_with_tax.",
    ),
    amount("discount_amount", "Discounts on these lines, positive."),
    amount("shipping_amount", "Shipping of these lines."),
    amount("gift_wrap_amount", "Gift wrap of these lines."),
    amount("other_amount", "Other charges on these lines, such as for cash on delivery."),
    amount("tax_amount", "Tax on these lines; contained in the other amounts if dim_marketplaces.has_prices_with_tax."),
    amount("grand_total_amount", "What the buyer pays, as Amazon gives it; null while it gives none."),
    text("commerce_order_number", "Number of the Commerce order.", nullable=True),
    count("open_blocker_count", "Open critical blockers."),
    text("payload_sha256", "Version of Amazon's document that the row is made from."),
    *_provenance(),
    Index("ix_fct_orders_store_name_purchased_on", "store_name", "purchased_on"),
    Index("ix_fct_orders_purchased_on", "purchased_on"),
    Index("ix_fct_orders_ship_by_on", "store_name", "ship_by_on", postgresql_where="fulfilled_by = 'MERCHANT'"),
    Index("ix_fct_orders_created_in_commerce_on", "store_name", "created_in_commerce_on"),
    Index(
        "ix_fct_orders_to_ship",
        "store_name",
        "ship_by_at",
        postgresql_where=("fulfilled_by = 'MERCHANT' and amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED')"),
    ),
    schema="reporting",
    comment="One row per Amazon order, with its moments, units and money.",
)

fct_order_items = Table(
    "fct_order_items",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("amazon_item_id", "Amazon's orderItemId.", primary_key=True),
    text("store_name", "Store, as in fct_orders."),
    text("marketplace_id", "Amazon's marketplace id; null for sales outside Amazon.", nullable=True),
    timestamp("purchased_at", "When the buyer bought, UTC."),
    typed("purchased_on", Date(), f"The day of the purchase, {_WHOSE_DAY}."),
    text("fulfilled_by", "MERCHANT or AMAZON.", nullable=True),
    flag("is_order_canceled", "The whole order is canceled."),
    count("line_number", "Position in Amazon's document, from 1."),
    text("seller_sku", "SKU on Amazon; empty when Amazon sent none."),
    text("asin", "Amazon's catalog id.", nullable=True),
    text("title", "Title on Amazon.", nullable=True),
    count("ordered_qty", "Units ordered, canceled ones included."),
    count("canceled_qty", "Units of these that were canceled."),
    count("fulfilled_qty", "Units that Amazon counts as shipped."),
    text("canceled_by", "BUYER, MERCHANT or AMAZON; null: nothing canceled, or Amazon does not say.", nullable=True),
    flag("is_buyer_cancel_requested", "The buyer asks to cancel this line."),
    text(
        "currency_code",
        "Currency of the amounts, ISO 4217; the marketplace's own while Amazon gives no amount.",
        nullable=True,
    ),
    amount("unit_price_amount", "Price of one unit."),
    amount(
        "item_amount",
        "Goods of the whole line before discounts; with tax if dim_marketplaces.has_prices_with_tax.",
    ),
    amount("discount_amount", "Discounts on the line, positive."),
    amount("shipping_amount", "Shipping of the line."),
    amount("gift_wrap_amount", "Gift wrap of the line."),
    amount("other_amount", "Other charges on the line."),
    amount("tax_amount", "Tax on the line; contained in the other amounts if dim_marketplaces.has_prices_with_tax."),
    amount("line_total_amount", "Amazon's total of the line."),
    *_provenance(),
    Index("ix_fct_order_items_store_name_purchased_on", "store_name", "purchased_on"),
    Index("ix_fct_order_items_purchased_on", "purchased_on"),
    Index("ix_fct_order_items_seller_sku", "seller_sku", "purchased_on"),
    schema="reporting",
    comment="One row per line of an Amazon order. Amounts are of the whole line, canceled or not.",
)

fct_order_status_changes = Table(
    "fct_order_status_changes",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("system_code", "amazon: Amazon's status; pipeline: where the order is in our process.", primary_key=True),
    timestamp("changed_at", "When the new state began, UTC: by Amazon's clock, or by ours.", primary_key=True),
    text("to_code", "The new state.", primary_key=True),
    text("from_code", "The state before; null for the first.", nullable=True),
    typed("changed_on", Date(), f"The day of the change, {_WHOSE_DAY}."),
    text("store_name", "Store, as in fct_orders."),
    flag(
        "is_allowed",
        "Whether an order may go from the one state to the other; false is worth a look. Null: a state that is new to "
        "this version.",
        nullable=True,
        server_default=None,
    ),
    text("reason", "Why, in a short sentence.", nullable=True),
    timestamp("detected_at", "When we saw it, UTC."),
    text("detected_dag_run_id", "Airflow run that saw it."),
    *_provenance(),
    Index("ix_fct_order_status_changes_changed_on", "store_name", "changed_on"),
    Index("ix_fct_order_status_changes_not_allowed", "store_name", "changed_on", postgresql_where="not is_allowed"),
    schema="reporting",
    comment="One row per change of Amazon's status or of our own state of an order.",
)

fct_order_blockers = Table(
    "fct_order_blockers",
    metadata,
    number(
        "blocker_episode_id",
        "One episode: a stretch of time in which a blocker was open.",
        primary_key=True,
        autoincrement=False,
    ),
    text("amazon_order_id", "Amazon's order id."),
    text("amazon_item_id", "Amazon's orderItemId; null: the whole order.", nullable=True),
    text("store_name", "Store, as in fct_orders."),
    text("marketplace_id", "Amazon's marketplace id; null for sales outside Amazon.", nullable=True),
    text("time_zone", "Time zone of the row's days."),
    text("blocker_code", "Kind of blocker; dim_blocker_codes explains it."),
    text("severity", "critical blocks the order, warning flags it, info counts."),
    text("seller_sku", "SKU on Amazon; null: the whole order.", nullable=True),
    text("catalog_sku", "SKU that was looked for in Commerce.", nullable=True),
    flag("is_order_canceled", "The whole order is canceled."),
    quantity("affected_qty", "Units that it blocks: what the line needs, or the units of the whole order."),
    quantity("available_qty", "Units that were free for the line.", nullable=True),
    amount("affected_amount", "Goods of the line, or the total of the whole order."),
    text("currency_code", "Currency of that amount, ISO 4217.", nullable=True),
    timestamp("ship_by_at", "Latest moment to ship the order, UTC.", nullable=True),
    timestamp("opened_at", "First check that found it, UTC."),
    typed("opened_on", Date(), f"The day of that moment, {_WHOSE_DAY}."),
    timestamp("closed_at", "First check that did not find it any more, UTC; null: open.", nullable=True),
    typed("closed_on", Date(), f"The day of that moment, {_WHOSE_DAY}.", nullable=True),
    text("closed_by_code", "solved, canceled or settings_changed.", nullable=True),
    *_provenance(),
    Index("ix_fct_order_blockers_amazon_order_id", "amazon_order_id"),
    Index("ix_fct_order_blockers_opened_on", "opened_on"),
    Index("ix_fct_order_blockers_open", "store_name", "blocker_code", postgresql_where="closed_at is null"),
    Index("ix_fct_order_blockers_days", sql("daterange(opened_on, closed_on, '[]')"), postgresql_using="gist"),
    schema="reporting",
    comment="One row per episode of a blocker or finding: when it began, what it concerned, when and how it ended.",
)

fct_shipments = Table(
    "fct_shipments",
    metadata,
    text("amazon_order_id", "Amazon's order id.", primary_key=True),
    text("package_reference_id", "Our number of the package within the order.", primary_key=True),
    text("store_name", "Store, as in fct_orders."),
    text("marketplace_id", "Amazon's marketplace id.", nullable=True),
    text("commerce_shipment_id", "Commerce's shipment id."),
    text("state", "planned, sent, in_doubt, accepted (Amazon has it), rejected or skipped."),
    text("carrier_code", "Amazon's carrier code; Other when there is none."),
    flag("has_tracking", "The package has a tracking number."),
    quantity("shipped_qty", "Units in the package."),
    timestamp("shipped_at", "When it was shipped in Commerce, UTC."),
    typed("shipped_on", Date(), f"The day of that moment, {_WHOSE_DAY}."),
    timestamp("ship_by_at", "Latest moment to ship the order, UTC.", nullable=True),
    timestamp("confirmed_at", "When it was last sent to Amazon, UTC; null: not sent.", nullable=True),
    timestamp("accepted_at", "When Amazon first showed the package, UTC; null: not yet.", nullable=True),
    flag(
        "is_late",
        "It was sent to Amazon after the ship-by time; null: not sent, or there is no such time.",
        nullable=True,
        server_default=None,
    ),
    *_provenance(),
    Index("ix_fct_shipments_shipped_on", "store_name", "shipped_on"),
    schema="reporting",
    comment="One row per package that is confirmed to Amazon. Tracking numbers are left out.",
)

DIMENSIONS = (dim_marketplaces, dim_stores, dim_blocker_codes)
FACTS = (
    fct_orders,
    fct_order_items,
    fct_order_status_changes,
    fct_order_blockers,
    fct_shipments,
)
