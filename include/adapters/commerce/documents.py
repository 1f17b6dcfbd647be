"""What we keep of Commerce's documents: store views, products, orders and shipments, read from its JSON.

The readers take parsed JSON without floats and raise KeyError, TypeError, ValueError or ArithmeticError for anything
that is not such a document; the client decides what that means for its call. Shapes: openapi-admin-2.4.9,
`store-data-*`, `catalog-data-product-interface`, `sales-data-order-interface`, `sales-data-shipment-interface`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from include.adapters.commerce.search import sku_key
from include.domain.order_changes import LineUnits

# What Commerce reports of every product whose quantity decides (magento/inventory, module InventorySales,
# Model/IsProductSalableForRequestedQtyCondition).
_LIMITED = frozenset({"manage_stock-enabled", "back_order-disabled"})
# Minimum, maximum and increments of one cart (IsCorrectQtyCondition).
_CART_LIMIT = "is_correct_qty-"
# Types whose stock cannot be queried by SKU (commerce inventory: "composite types are refused").
_COMPOSITE_TYPES = frozenset({"bundle", "configurable", "grouped", "giftcard"})

# `fields` of an order: what CommerceOrder needs, and no address.
ORDER_FIELDS = (
    "entity_id,increment_id,store_id,ext_order_id,state,status,grand_total,order_currency_code,created_at,"
    "total_invoiced,items[item_id,parent_item_id,ext_order_item_id,sku,qty_ordered,qty_shipped,qty_refunded,qty_canceled]"
)
ADDRESS_FIELDS = "entity_id,firstname,lastname,company,street,city,region,postcode,country_id,telephone"
ADDRESSES_FIELDS = (
    f"billing_address[{ADDRESS_FIELDS}],extension_attributes[shipping_assignments[shipping[address[{ADDRESS_FIELDS}]]]]"
)
PRODUCT_FIELDS = "id,sku,name,status,type_id,price,weight,extension_attributes[website_ids]"
# What is kept of a shipment. Not its label, which is a printed address, and not its comments, which can name anybody.
_SHIPMENT_FIELDS = ("entity_id", "increment_id", "order_id", "created_at", "updated_at")
_SHIPMENT_LISTS = {
    "items": ("entity_id", "order_item_id", "sku", "qty"),
    "tracks": ("entity_id", "track_number", "title", "carrier_code", "created_at"),
}
SHIPMENT_FIELDS = ",".join(
    [*_SHIPMENT_FIELDS, *(f"{name}[{','.join(kept)}]" for name, kept in _SHIPMENT_LISTS.items())]
)


# The stock of a website to which Commerce has assigned none. Its own stocks are numbered from 1; 0 is the legacy stock.
UNASSIGNED_STOCK = -1


@dataclass(frozen=True)
class StoreView:
    """One store view. `base_currency` is ISO 4217; `stock_id` is None where the shop has one legacy stock for all."""

    store_id: int
    code: str
    website_id: int
    website_code: str
    base_currency: str
    stock_id: int | None


@dataclass(frozen=True)
class CatalogProduct:
    """One product as a store view sees it. `sku` is the catalog's spelling; `price` is in the view's base currency."""

    product_id: int
    sku: str
    name: str
    is_enabled: bool
    type_id: str
    price: Decimal | None
    weight: Decimal | None
    website_ids: tuple[int, ...] | None  # None: not known

    @property
    def is_orderable(self) -> bool:
        """Whether an order line can name the product: composites are ordered by their parts, which Amazon lacks."""
        return self.type_id not in _COMPOSITE_TYPES


@dataclass(frozen=True)
class Salability:
    """Whether a stock can sell a quantity of a SKU, and Commerce's codes of what speaks against it."""

    is_enough: bool
    codes: frozenset[str]

    @property
    def is_limited(self) -> bool:
        """Whether Commerce has said that the SKU's stock is managed and that backorders are off."""
        return self.codes >= _LIMITED

    @property
    def is_about_carts(self) -> bool:
        """Whether only limits of one shopping cart speak against it: nothing is said about the stock."""
        return bool(self.codes) and all(code.startswith(_CART_LIMIT) for code in self.codes)


@dataclass(frozen=True)
class CommerceOrder:
    """One Commerce order without personal data.

    `order_id` is its entity_id, `number` its increment_id; amounts are in `currency` (ISO 4217), `created_at` is UTC;
    `lines` has what became of each line's units, by Commerce's item_id.
    """

    order_id: str
    number: str
    store_id: int
    ext_order_id: str | None
    state: str | None
    status: str | None
    grand_total: Decimal
    currency: str | None
    created_at: datetime
    total_invoiced: Decimal
    lines: dict[str, LineUnits]

    @property
    def item_ids(self) -> dict[str, str]:
        """Amazon's orderItemId -> Commerce's item_id, of the lines that were made for Amazon's."""
        return {line.amazon_item_id: item_id for item_id, line in self.lines.items() if line.amazon_item_id}

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was canceled, or refunded whole."""
        return self.state in ("canceled", "closed")

    @property
    def is_on_hold(self) -> bool:
        """Whether it can be neither invoiced nor shipped until somebody releases it."""
        return self.state == "holded"

    @property
    def is_invoiced(self) -> bool:
        """Whether it was invoiced. The state tells of zero-value orders only: shipping alone makes one `processing`."""
        if self.grand_total > 0:
            return self.total_invoiced > 0
        return self.state in ("processing", "complete", "closed")


@dataclass(frozen=True)
class ShipmentItem:
    """Units of one line of a Commerce order in one shipment."""

    commerce_item_id: str
    qty: Decimal


@dataclass(frozen=True)
class ShipmentTrack:
    """One tracking number of a shipment; empty when people saved a track without one."""

    commerce_track_id: str
    carrier_code: str | None
    carrier_title: str | None
    tracking_number: str


@dataclass(frozen=True)
class CommerceShipment:
    """One shipment of a Commerce order; `shipped_at` is UTC.

    `document` is what is kept of Commerce's own document: ids, times, items and tracks.
    """

    commerce_shipment_id: str
    commerce_order_id: str
    shipped_at: datetime
    items: tuple[ShipmentItem, ...]
    tracks: tuple[ShipmentTrack, ...]
    document: dict[str, Any] = field(repr=False)


def read_addresses(document: Any) -> list[dict[str, Any]]:
    """The addresses of an order document, the billing address first, each with its `address_type`."""
    assignments = (document.get("extension_attributes") or {}).get("shipping_assignments") or []
    found = [("billing", document["billing_address"])]
    found += [("shipping", each["shipping"].get("address")) for each in assignments[:1]]
    return [
        {**address, "address_type": kind, "entity_id": int(address["entity_id"])} for kind, address in found if address
    ]


def read_order(document: Any) -> CommerceOrder:
    """An order document, whole or trimmed to ORDER_FIELDS."""
    return CommerceOrder(
        order_id=str(int(document["entity_id"])),
        number=str(document["increment_id"]),
        store_id=int(document["store_id"]),
        ext_order_id=_text(document.get("ext_order_id")),
        state=_text(document.get("state")),
        status=_text(document.get("status")),
        grand_total=read_number(document["grand_total"]),
        currency=_text(document.get("order_currency_code")),
        created_at=_moment(document["created_at"]),
        total_invoiced=read_number(document.get("total_invoiced") or 0),
        # The parts of a composite product ship with it.
        lines={
            str(item["item_id"]): _order_line(item)
            for item in document.get("items") or []
            if not item.get("parent_item_id")
        },
    )


def _order_line(item: dict[str, Any]) -> LineUnits:
    ordered, shipped, refunded, canceled = (
        int(_units(item.get(name) or 0)) for name in ("qty_ordered", "qty_shipped", "qty_refunded", "qty_canceled")
    )
    amazon_item_id = _text(item.get("ext_order_item_id")) or None
    return LineUnits(
        str(item["item_id"]), ordered, shipped, refunded + canceled, _text(item.get("sku")) or "", amazon_item_id
    )


def join_store_views(
    views: list[dict[str, Any]],
    websites: list[dict[str, Any]],
    configs: list[dict[str, Any]],
    stock_of: Callable[[str], int | None],
) -> dict[str, StoreView]:
    """Every store view by its code, without the admin's. `stock_of` gives the stock of a website's code."""
    website_codes = {int(row["id"]): str(row["code"]) for row in websites}
    currencies = {int(row["id"]): str(row["base_currency_code"]) for row in configs}
    stocks: dict[int, int | None] = {}
    joined: dict[str, StoreView] = {}
    for row in views:
        store_id, website_id = int(row["id"]), int(row["website_id"])
        if store_id == 0:  # the admin
            continue
        if website_id not in stocks:
            stocks[website_id] = stock_of(website_codes[website_id])
        joined[str(row["code"])] = StoreView(
            store_id=store_id,
            code=str(row["code"]),
            website_id=website_id,
            website_code=website_codes[website_id],
            base_currency=currencies[store_id],
            stock_id=stocks[website_id],
        )
    return joined


def read_product(document: Any) -> CatalogProduct:
    """A product document, whole or trimmed to PRODUCT_FIELDS."""
    price, weight = document.get("price"), document.get("weight")
    # An empty object arrives as an empty list.
    extension = document.get("extension_attributes") or {}
    website_ids = extension.get("website_ids")
    return CatalogProduct(
        product_id=int(document["id"]),
        sku=str(document["sku"]),
        name=str(document.get("name") or document["sku"]),
        is_enabled=int(document["status"]) == 1,
        type_id=str(document.get("type_id") or "simple"),
        price=None if price is None else read_number(price),
        weight=None if weight is None else read_number(weight),
        website_ids=None if website_ids is None else tuple(int(website_id) for website_id in website_ids),
    )


def read_number(value: Any) -> Decimal:
    """A JSON number, or the same as text, as Decimal. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("not a number")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number


def read_id(document: Any) -> str:
    """A bare id, which Commerce gives as number or text."""
    if isinstance(document, bool) or not isinstance(document, int | str):
        raise ValueError("not an id")
    number = int(document)
    if not 0 <= number < 2**63:
        raise ValueError("not an id")
    return str(number)


def read_flag(document: Any) -> bool:
    """A bare true or false."""
    if not isinstance(document, bool):
        raise ValueError("not a flag")
    return document


def read_rows(document: Any) -> list[dict[str, Any]]:
    """A list of objects."""
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise ValueError("not a list of objects")
    return document


def read_salable(document: Any) -> dict[str, Salability]:
    """What is said of the asked quantity, by `sku_key` of the SKU."""
    return {
        sku_key(row["sku"]): Salability(
            is_enough=row["salable"] is True,
            codes=frozenset(str(error["code"]) for error in read_rows(row.get("errors") or [])),
        )
        for row in read_rows(document)
    }


def read_stock_item(document: Any) -> Decimal | None:
    """What can be sold by a legacy stock item (catalog-inventory-data-stock-item-interface); None: not limited.

    Where a product uses the shop's configuration (`use_config_...`), the values beside it are the configuration's:
    Commerce looks them up for its answer (magento2, CatalogInventory/Model/Stock/Item.php).
    """
    if is_unlimited(document):
        return None
    if not document["is_in_stock"]:
        return Decimal(0)
    return max(Decimal(str(document["qty"])) - Decimal(str(document.get("min_qty") or 0)), Decimal(0))


def is_unlimited(stock_item: Any) -> bool:
    """Whether a product's stock is not managed, or backorders are allowed without a limit (a negative `min_qty`)."""
    are_backorders_allowed = int(stock_item.get("backorders") or 0) > 0
    return not stock_item["manage_stock"] or (are_backorders_allowed and (stock_item.get("min_qty") or 0) >= 0)


def read_shipment(document: Any) -> CommerceShipment:
    """A shipment document, whole or trimmed to SHIPMENT_FIELDS."""
    kept = _kept(document, _SHIPMENT_FIELDS)
    for name, fields in _SHIPMENT_LISTS.items():
        kept[name] = [_kept(row, fields) for row in read_rows(document[name] or [])]
    if not _is_storable(kept):
        raise ValueError("a value that our tables cannot hold")
    return CommerceShipment(
        commerce_shipment_id=read_id(kept["entity_id"]),
        commerce_order_id=read_id(kept["order_id"]),
        shipped_at=_moment(kept["created_at"]),
        items=tuple(ShipmentItem(read_id(item["order_item_id"]), _units(item["qty"])) for item in kept["items"]),
        tracks=tuple(
            ShipmentTrack(
                commerce_track_id=read_id(track["entity_id"]),
                carrier_code=_text(track.get("carrier_code")),
                carrier_title=_text(track.get("title")),
                tracking_number=(_text(track.get("track_number")) or "").strip(),
            )
            for track in kept["tracks"]
        ),
        document=kept,
    )


def _units(value: Any) -> Decimal:
    qty = read_number(value)
    if not 0 <= qty < 10**7:  # numeric(12, 4), with room for a sum
        raise ValueError("not a quantity")
    return qty


def _is_storable(value: Any) -> bool:
    """Whether PostgreSQL takes it: no NUL or lone surrogate in texts, no number beyond a quantity or an id."""
    if isinstance(value, dict):
        return all(map(_is_storable, value.values()))
    if isinstance(value, list):
        return all(map(_is_storable, value))
    if isinstance(value, str):
        return "\0" not in value and value == value.encode("utf-8", "ignore").decode()
    return not isinstance(value, int | Decimal) or -(2**63) < value < 2**63


def _kept(document: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: document[name] for name in fields if name in document}


def _moment(text: str) -> datetime:
    # Always UTC, whatever the shop's zone (magento2 issue 24985).
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
