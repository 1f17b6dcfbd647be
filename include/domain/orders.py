"""Amazon orders in our words, and the rule for when one becomes a Commerce order (design: decision table)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from include.domain.statuses import CANCELED_STATUSES, SHIPPABLE_STATUSES, SHIPPED
from include.domain.stores import Pack, Store

MERCHANT = "MERCHANT"
AMAZON = "AMAZON"
_PENDING = {
    "PENDING": "Amazon is still verifying the payment.",
    "PENDING_AVAILABILITY": "Pre-ordered; Amazon releases it when the product is available.",
}


def pack_of(store: Store | None, seller_sku: str, corrected_sku: str | None, mapped: Pack | None) -> Pack:
    """What one unit of an Amazon SKU is in the catalog, by the first that knows it.

    A person's correction of the order, the store's maps in stores.yaml, core.sku_map (`mapped`); else the same SKU.
    """
    if corrected_sku:
        return Pack(corrected_sku)
    of_store = store.sku_map.get(seller_sku) if store is not None else None
    return of_store or mapped or Pack(seller_sku)


@dataclass(frozen=True)
class OrderLine:
    """One line of an Amazon order, without its canceled units. Quantities are Amazon's, unless they say otherwise.

    Amounts: of the whole line, in the order's currency; None where Amazon gave none. Discounts are positive.
    `discount_amount` is all of them; what is not on shipping, gift wrap or other charges is on the goods.
    """

    amazon_item_id: str
    seller_sku: str
    ordered_qty: int
    title: str | None = None
    asin: str | None = None
    fulfilled_qty: int = 0
    unit_price_amount: Decimal | None = None
    item_amount: Decimal | None = None
    shipping_amount: Decimal | None = None
    gift_wrap_amount: Decimal | None = None
    tax_amount: Decimal | None = None
    discount_amount: Decimal | None = None
    shipping_discount_amount: Decimal | None = None
    gift_wrap_discount_amount: Decimal | None = None
    other_discount_amount: Decimal | None = None
    other_amount: Decimal | None = None
    line_total_amount: Decimal | None = None
    is_buyer_cancel_requested: bool = False
    corrected_sku: str | None = None  # the catalog SKU that a person gave for this order
    mapped: Pack | None = None  # what core.sku_map has for the SKU
    pack_units: int = 1  # catalog units of one unit, as the Commerce order was sent last

    def pack(self, store: Store | None) -> Pack:
        """What one unit of the line is in the catalog. `store` is None when it left stores.yaml."""
        return pack_of(store, self.seller_sku, self.corrected_sku, self.mapped)

    def catalog_sku(self, store: Store) -> str:
        """The catalog SKU that the line stands for."""
        return self.pack(store).sku

    def catalog_qty(self, store: Store) -> int:
        """The units of the catalog's product that the line orders."""
        return self.ordered_qty * self.pack(store).units


@dataclass(frozen=True)
class Order:
    """One Amazon order: its newest version. Times are UTC; `grand_total_amount` is None while Amazon gives none."""

    amazon_order_id: str
    account_name: str
    marketplace_id: str | None
    amazon_status: str
    fulfilled_by: str | None
    purchased_at: datetime
    currency_code: str | None
    grand_total_amount: Decimal | None
    service_level: str | None = None
    programs: tuple[str, ...] = ()
    replaced_amazon_order_id: str | None = None
    lines: tuple[OrderLine, ...] = ()
    skip_reason: str | None = None  # set: a person decided that it is never created
    total_mismatch: str = ""  # the grand total and the sum of its lines, if they differ
    address_problem: str = ""  # the fields of its delivery address that no Commerce order can have


@dataclass(frozen=True)
class Decision:
    """What is to happen with an order now.

    `state` is one of `create`, `waiting`, `not_imported`, `canceled`; `reason` says why, for people, without
    personal data. With `create`, `is_stock_required` tells whether a short line blocks the order.
    """

    state: str
    reason: str
    is_stock_required: bool = False


_ONLY_LOOKED_AT = (
    "Brought by a backfill without create_in_commerce; manage the order in Seller Central, or fetch it again with "
    "create_in_commerce."
)


def decide(
    order: Order, store: Store | None, import_since: datetime | None, *, is_only_looked_at: bool = False
) -> Decision:
    """Apply the decision table to one order that has no Commerce order yet.

    `import_since` is the moment (UTC) before which such orders of the store stay with Seller Central.
    `is_only_looked_at`: only a backfill has brought the order, and nobody asked for it in Commerce. Blockers are
    checked afterwards, by validation.
    """
    if order.amazon_status in CANCELED_STATUSES:
        return Decision("canceled", "Amazon canceled the order before a Commerce order existed.")
    if order.skip_reason is not None or is_only_looked_at:
        return Decision("not_imported", order.skip_reason or _ONLY_LOOKED_AT)
    if store is None or import_since is None:
        return Decision(
            "not_imported", "No connected store sells in this marketplace; manage the order in Seller Central."
        )
    if not store.orders.is_import_enabled:
        return Decision("not_imported", "Import is disabled for this store; manage the order in Seller Central.")
    if order.purchased_at < import_since:
        return Decision(
            "not_imported",
            f"Bought before {import_since:%Y-%m-%d %H:%M} UTC, since when such orders of this store are imported; "
            "manage the order in Seller Central, or set import_since in stores.yaml.",
        )
    if order.fulfilled_by == AMAZON and not store.orders.are_amazon_fulfilled_imported:
        return Decision("not_imported", "The store ignores orders that Amazon fulfills.")
    if not order.lines:
        return Decision("waiting", "Every line of the order was canceled; nothing is left to create.")
    if order.amazon_status in _PENDING:
        return Decision("waiting", _PENDING[order.amazon_status])
    if order.amazon_status not in SHIPPABLE_STATUSES:
        return Decision("waiting", f"Amazon's status {order.amazon_status} is new to us; nothing is created for it.")
    if order.fulfilled_by == AMAZON:
        if order.amazon_status != SHIPPED:
            return Decision("waiting", "Amazon has not shipped the order yet.")
        return Decision("create", "Shipped by Amazon.", store.orders.must_amazon_fulfilled_be_in_stock)
    if order.fulfilled_by != MERCHANT:
        return Decision("waiting", f"Amazon does not report who fulfills the order ({order.fulfilled_by}).")
    return Decision("create", "Ready to ship.", is_stock_required=True)


@dataclass(frozen=True)
class Candidate:
    """An order that may be created, its store, and why."""

    order: Order
    store: Store
    decision: Decision
