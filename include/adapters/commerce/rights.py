"""The rights that the integration of a shop needs: one for each call of the client, as Commerce's own routes ask.

Sources, checked 2026-11: `etc/webapi.xml` (which right a route asks for) and `etc/acl.xml` (what the tree of rights
calls it) of the modules Sales, Store, Catalog, CatalogInventory and Customer in magento/magento2, InventorySalesApi in
magento/inventory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Right:
    """One right. `resource` is Commerce's id of it, `place` where the tree of an integration's page *API* has it."""

    resource: str
    place: str

    def __str__(self) -> str:
        return f"{self.place} ({self.resource})"


_ACTIONS = "Sales > Operations > Orders > Actions"
ALL_STORES = Right("Magento_Backend::store", "Stores > Settings > All Stores")
PRODUCTS = Right("Magento_Catalog::products", "Catalog > Inventory > Products")
SALES_STOCK = Right("Magento_InventorySalesApi::stock", "Stores > Inventory > Sales Stock")
# Only for a shop without multi-source inventory.
LEGACY_STOCK = Right("Magento_CatalogInventory::cataloginventory", "Stores > Settings > Configuration > Inventory")
VIEW_ORDERS = Right("Magento_Sales::actions_view", f"{_ACTIONS} > View")
SAVE_ORDERS = Right("Magento_Sales::api_actions", f"{_ACTIONS} > Order Save API")
INVOICE = Right("Magento_Sales::invoice", f"{_ACTIONS} > Invoice")
CANCEL = Right("Magento_Sales::cancel", f"{_ACTIONS} > Cancel")
CREDIT = Right("Magento_Sales::creditmemo", f"{_ACTIONS} > Credit Memos")
HOLD = Right("Magento_Sales::hold", f"{_ACTIONS} > Hold")
UNHOLD = Right("Magento_Sales::unhold", f"{_ACTIONS} > Unhold")
SHIPMENTS = Right("Magento_Sales::shipment", "Sales > Operations > Shipments")
CUSTOMERS = Right("Magento_Customer::customer", "Customers")
SAVE_CUSTOMERS = Right("Magento_Customer::manage", "Customers > All Customers")
# Older versions have no right SAVE_ORDERS and ask for this one in its place as well (magento2 pull request 20170).
CREATE_ORDERS = Right("Magento_Sales::create", f"{_ACTIONS} > Create")

# By the client's operations. The client refuses to send what is not listed here.
RIGHT_OF: dict[str, Right] = {
    "storeViews": ALL_STORES,
    "websites": ALL_STORES,
    "storeConfigs": ALL_STORES,
    "searchProducts": PRODUCTS,
    "getProduct": PRODUCTS,
    "stockResolver": SALES_STOCK,
    "areSalableForQty": SALES_STOCK,
    "salableQuantity": SALES_STOCK,
    "stockItem": LEGACY_STOCK,
    "searchOrders": VIEW_ORDERS,
    "getOrder": VIEW_ORDERS,
    "createOrder": SAVE_ORDERS,
    "updateOrder": SAVE_ORDERS,
    "saveAddress": CREATE_ORDERS,
    "invoiceOrder": INVOICE,
    "cancelOrder": CANCEL,
    "refundOrder": CREDIT,
    "holdOrder": HOLD,
    "unholdOrder": UNHOLD,
    "searchShipments": SHIPMENTS,
    "searchCustomers": CUSTOMERS,
    "createCustomer": SAVE_CUSTOMERS,
}
NEEDED = tuple(dict.fromkeys(RIGHT_OF.values()))

Request = tuple[str, Literal["GET", "POST", "PUT"], str, tuple[tuple[str, str], ...]]  # operation, method, path, query

_ONE_ROW = (("searchCriteria[pageSize]", "1"),)
# A request for each right that changes nothing in any shop. Commerce checks the right before it looks at what was sent
# (Magento_Webapi `RequestValidator`), so that a request which it then refuses proves the right.
HARMLESS: dict[Right, Request] = {
    ALL_STORES: ("storeViews", "GET", "store/storeViews", ()),
    PRODUCTS: ("searchProducts", "GET", "products", (*_ONE_ROW, ("fields", "items[id]"))),
    # Without the SKUs that it is about: refused.
    SALES_STOCK: ("areSalableForQty", "GET", "inventory/are-product-salable-for-requested-qty/", ()),
    LEGACY_STOCK: ("stockItem", "GET", "stockItems/0", ()),  # no such SKU: refused
    VIEW_ORDERS: ("searchOrders", "GET", "orders", (*_ONE_ROW, ("fields", "items[entity_id]"))),
    SAVE_ORDERS: ("createOrder", "POST", "orders", ()),  # an order without content: refused
    CREATE_ORDERS: ("saveAddress", "PUT", "orders/0", ()),  # an address without content: refused
    INVOICE: ("invoiceOrder", "POST", "order/0/invoice", ()),  # no order has the id 0: refused
    CANCEL: ("cancelOrder", "POST", "orders/0/cancel", ()),
    CREDIT: ("refundOrder", "POST", "order/0/refund", ()),
    HOLD: ("holdOrder", "POST", "orders/0/hold", ()),
    UNHOLD: ("unholdOrder", "POST", "orders/0/unhold", ()),
    SHIPMENTS: ("searchShipments", "GET", "shipments", (*_ONE_ROW, ("fields", "items[entity_id]"))),
    CUSTOMERS: ("searchCustomers", "GET", "customers/search", (*_ONE_ROW, ("fields", "items[id]"))),
    SAVE_CUSTOMERS: ("createCustomer", "PUT", "customers/0", ()),  # a customer without content: refused
}


def missing_rights(operation: str, document: Any) -> list[Right]:
    """The rights that a refusal (401 or 403) of this operation is about: those that Commerce names, else ours."""
    parameters = document.get("parameters") if isinstance(document, dict) else None
    named = parameters.get("resources") if isinstance(parameters, dict) else parameters
    if isinstance(named, str):
        named = named.split(",")
    resources = [str(one).strip() for one in named] if isinstance(named, list) else []
    known = {right.resource: right for right in NEEDED}
    return [known[one] for one in resources if one in known] or [RIGHT_OF[operation]]


def listed(rights: Iterable[Right]) -> str:
    """The rights in words."""
    return ", ".join(map(str, rights))
