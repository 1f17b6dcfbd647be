"""The local Commerce's catalog and inventory: products, quantities on hand per stock, and reservations.

Salable quantity = quantity on hand + reservations (a reservation of stock for an order is negative). The codes of the
salability errors are from magento/inventory, module InventorySales, conditions of IsProductSalableForRequestedQty; its
etc/di.xml tells which conditions count when something is added to a cart, and which when an order is placed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from decimal import Decimal
from typing import Any

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.seeds import Product, StoreView

_NOT_ASSIGNED = "The requested sku is not assigned to given stock."
# The types whose sources Commerce manages (module-inventory-configuration, etc/di.xml); it refuses all others, those of
# extensions included.
_STOCKED_TYPES = ("simple", "virtual", "downloadable")
_DEFAULT_STOCK = 1
_PRODUCT_FIELDS = frozenset(field.name for field in fields(Product))


class Catalog:
    """Products by SKU, regardless of case, as in the database. Not thread-safe: the owner must lock."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._products: dict[str, Product] = {}
        self._reserved: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
        for product in products:
            self.put(product)

    def put(self, product: Product) -> None:
        """Add a copy of `product`, or replace the one with its SKU."""
        copied = {field: getattr(product, field) for field in _PRODUCT_FIELDS}
        self._products[product.sku.casefold()] = Product(**copied | {"quantities": dict(product.quantities)})

    def find(self, sku: str) -> Product | None:
        return self._products.get(sku.casefold())

    def all(self) -> list[Product]:
        """All products, in the order in which they were added."""
        return sorted(self._products.values(), key=lambda product: product.product_id)

    def remove(self, sku: str) -> None:
        """Delete a product. Raises KeyError for an unknown SKU."""
        del self._products[sku.casefold()]

    def change(self, sku: str, **changes: Any) -> None:
        """Set fields of a product. Raises KeyError for an unknown SKU, TypeError for an unknown field."""
        product = self._products[sku.casefold()]
        if unknown := set(changes) - _PRODUCT_FIELDS:
            raise TypeError(f"A product has no field {', '.join(sorted(unknown))}")
        for field, value in changes.items():
            setattr(product, field, value)

    def salable(self, sku: str, stock_id: int) -> Decimal:
        """The salable quantity. Raises CommerceRefusal (400) for a product that is not in this stock."""
        product = self.find(sku)
        if product is None or product.type_id not in _STOCKED_TYPES:
            raise _no_source_items()
        if stock_id not in product.quantities:
            raise CommerceRefusal(400, _NOT_ASSIGNED)
        return product.quantities[stock_id] + self._reserved[product.sku.casefold(), stock_id]

    def shortfalls(
        self, sku: str, stock_id: int, quantity: Decimal, *, is_cart_checked: bool = False
    ) -> list[dict[str, str]]:
        """Why `quantity` cannot be sold: Commerce's errors, empty if it can. A product's status does not matter.

        `is_cart_checked`: by the conditions that hold for a cart, whose limits come first.

        Raises CommerceRefusal (400) for a product type whose stock it does not manage.
        """
        product = self.find(sku)
        if product is not None and product.type_id not in _STOCKED_TYPES:
            raise _no_source_items()
        if product is None or (stock_id not in product.quantities and stock_id != _DEFAULT_STOCK):
            return [_error("requested-sku-is-not-assigned-to-given-stock", _NOT_ASSIGNED)]
        if is_cart_checked and (refusal := _cart_refusal(product, quantity)):
            return [refusal]
        if not product.manage_stock:
            return []
        if stock_id not in product.quantities:
            return [_error("requested-sku-is-not-assigned-to-given-stock", _NOT_ASSIGNED)]
        if product.backorders or self.salable(sku, stock_id) >= quantity:
            return []
        # The whole chain of conditions has failed, and each condition adds its error.
        errors = [_error("manage_stock-enabled", "Manage stock is enabled")]
        if product.quantities[stock_id] <= 0:
            code = "is_any_source_item_in_stock-no_source_items_in_stock"
            errors.append(_error(code, "There are no source items with the in stock status"))
        errors.append(_error("back_order-disabled", "Backorders are disabled"))
        errors.append(_error("is_salable_with_reservations-not_enough_qty", "The requested qty is not available"))
        return errors

    def deduct(self, needed: Mapping[str, Decimal], stock_id: int) -> bool:
        """Deduct shipped goods (SKU -> quantity) and write the reservations that normally cancel out the order's own.

        An order created over REST has none, so the salable quantity stays too high by what was shipped (magento2 issue
        26575, inventory issues 3185 and 3419). Returns False, and changes nothing, if there is not enough stock.
        """
        shelved = []
        for sku, quantity in needed.items():
            product = self.find(sku)
            if product is None or not product.manage_stock or stock_id not in product.quantities:
                continue
            if product.quantities[stock_id] < quantity and not product.backorders:
                return False
            shelved.append((product, quantity))
        for product, quantity in shelved:
            product.quantities[stock_id] -= quantity
            self.release(product.sku, stock_id, quantity)
        return True

    def release(self, sku: str, stock_id: int, quantity: Decimal) -> None:
        """Write a positive reservation, as canceling and shipping do."""
        self._reserved[sku.casefold(), stock_id] += quantity

    def stock_item(self, sku: str) -> dict[str, Any] | None:
        """The product's legacy stock; None for an unknown SKU."""
        product = self.find(sku)
        return None if product is None else _stock_item(product)

    def documents(self, view: StoreView | None) -> list[dict[str, Any]]:
        """All products as a search returns them in a store view, or with default values if `view` is None."""
        return [_document(product, view) for product in self.all()]

    def document(self, sku: str, view: StoreView | None) -> dict[str, Any] | None:
        """One product, with the stock item that a search leaves out (magento2 issue 24418)."""
        product = self.find(sku)
        if product is None:
            return None
        document = _document(product, view)
        document["extension_attributes"]["stock_item"] = _stock_item(product)
        return document

    def snapshot(self) -> dict[str, Any]:
        """Products and reservations. Pairs replace dicts with integer keys, which JSON does not have."""
        return {
            "products": [asdict(one) | {"quantities": list(one.quantities.items())} for one in self._products.values()],
            "reserved": [[sku, stock_id, quantity] for (sku, stock_id), quantity in self._reserved.items()],
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Restore the state from a `snapshot`."""
        self._products.clear()
        self._reserved.clear()
        for product in content["products"]:
            quantities = {int(stock_id): quantity for stock_id, quantity in product["quantities"]}
            tuples = {field: tuple(product[field]) for field in ("website_ids", "disabled_in")}
            self.put(Product(**product | tuples | {"quantities": quantities}))
        for sku, stock_id, quantity in content["reserved"]:
            self._reserved[sku, stock_id] = quantity


def _no_source_items() -> CommerceRefusal:
    return CommerceRefusal(400, "Can't check requested quantity for products without Source Items support.")


def _cart_refusal(product: Product, quantity: Decimal) -> dict[str, str] | None:
    """The first limit of a cart that `quantity` breaks."""
    if quantity < product.min_sale_qty:
        message = f"The fewest you may purchase is {product.min_sale_qty.normalize():f}."
        return _error("is_correct_qty-min_sale_qty", message)
    if quantity > product.max_sale_qty:
        message = "The requested qty exceeds the maximum qty allowed in shopping cart"
        return _error("is_correct_qty-max_sale_qty", message)
    if product.qty_increments and quantity % product.qty_increments:
        message = f"You can buy this product only in quantities of {product.qty_increments.normalize():f} at a time."
        return _error("is_correct_qty-qty_increment", message)
    return None


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _document(product: Product, view: StoreView | None) -> dict[str, Any]:
    disabled = product.status == 2 or (view is not None and view.code in product.disabled_in)
    return {
        "id": product.product_id,
        "sku": product.sku,
        "name": product.name,
        "attribute_set_id": 4,
        "price": product.price,
        "status": 2 if disabled else 1,
        "visibility": 4,
        "type_id": product.type_id,
        "weight": product.weight,
        "extension_attributes": {"website_ids": list(product.website_ids)},
        "product_links": [],
        "options": [],
        "media_gallery_entries": [],
        "tier_prices": [],
        "custom_attributes": [{"attribute_code": "url_key", "value": product.sku.lower()}],
    }


def _stock_item(product: Product) -> dict[str, Any]:
    quantity = next(iter(product.quantities.values()), Decimal(0))
    return {
        "item_id": product.product_id,
        "product_id": product.product_id,
        "stock_id": 1,
        "qty": quantity,
        "is_in_stock": quantity > 0 or product.backorders or not product.manage_stock,
        "is_qty_decimal": False,
        "show_default_notification_message": False,
        "use_config_min_qty": True,
        "min_qty": 0,
        "use_config_min_sale_qty": 1,
        "min_sale_qty": product.min_sale_qty,
        "use_config_max_sale_qty": True,
        "max_sale_qty": product.max_sale_qty,
        "use_config_backorders": product.is_configured_by_shop or not product.backorders,
        "backorders": int(product.backorders),
        "use_config_notify_stock_qty": True,
        "notify_stock_qty": 1,
        "use_config_qty_increments": True,
        "qty_increments": product.qty_increments,
        "use_config_enable_qty_inc": True,
        "enable_qty_increments": False,
        "use_config_manage_stock": product.is_configured_by_shop or product.manage_stock,
        "manage_stock": product.manage_stock,
        "low_stock_date": None,
        "is_decimal_divided": False,
        "stock_status_changed_auto": 0,
    }
