"""The REST routes of the local Commerce: method, path, operation, required right, and what each one does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from local.sandbox.commerce.customers import create_account, save_customer
from local.sandbox.commerce.errors import CommerceRefusal, bad_type, no_such_route, required
from local.sandbox.commerce.fields import CUSTOMER_COLUMNS, ORDER, PRODUCT_COLUMNS, SHIPMENT_COLUMNS, decimal
from local.sandbox.commerce.search import Query, bracketed, need, search
from local.sandbox.commerce.shipments import Track
from local.sandbox.commerce.state import CommerceState
from local.sandbox.seeds import StoreView

Document = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request: the shop's state, the store view (None for `all`), path arguments, query and body."""

    state: CommerceState
    view: StoreView | None
    arguments: dict[str, str]
    query: Query
    body: Document
    base_url: str


@dataclass(frozen=True)
class Route:
    """`work` returns the content of the answer (JSON types and Decimals) or raises CommerceRefusal."""

    method: str
    pattern: re.Pattern[str]
    operation: str
    resource: str
    work: Callable[[Call], Any]


def _store_views(call: Call) -> list[Document]:
    # Real answers, too, start with the admin's own view and website.
    admin = {"id": 0, "code": "admin", "name": "Admin", "website_id": 0, "store_group_id": 0, "is_active": 1}
    return [
        admin,
        *(
            {
                "id": view.store_id,
                "code": view.code,
                "name": view.name,
                "website_id": view.website_id,
                "store_group_id": view.website_id,
                "is_active": 1,
            }
            for view in call.state.seed.store_views
        ),
    ]


def _websites(call: Call) -> list[Document]:
    websites = call.state.seed.websites
    return [
        {"id": 0, "code": "admin", "name": "Admin", "default_group_id": 0},
        *(
            {"id": one.website_id, "code": one.code, "name": one.code, "default_group_id": one.website_id}
            for one in websites
        ),
    ]


def _store_configs(call: Call) -> list[Document]:
    wanted = {value for key, value in call.query if key.startswith(("storeCodes", "store_codes"))}
    base = call.base_url
    urls = {
        f"{prefix}base_{kind}url": base + tail
        for prefix in ("", "secure_")
        for kind, tail in (("", ""), ("link_", ""), ("static_", "static/"), ("media_", "media/"))
    }
    return [
        {
            "id": view.store_id,
            "code": view.code,
            "website_id": view.website_id,
            "locale": "en_US",
            "base_currency_code": view.base_currency,
            "default_display_currency_code": view.base_currency,
            "timezone": "UTC",
            "weight_unit": "kgs",
        }
        | urls
        for view in call.state.seed.store_views
        if not wanted or view.code in wanted
    ]


def _need_stocks(call: Call) -> None:
    """Without the modules of multi-source inventory their routes do not exist."""
    if not call.state.seed.has_stocks:
        raise no_such_route()


def _resolve_stock(call: Call) -> Document:
    _need_stocks(call)
    for website in call.state.seed.websites:
        if website.code == call.arguments["code"] and website.stock_id:
            channels = [{"type": "website", "code": website.code}]
            name = f"Stock of {website.code}"
            return {"stock_id": website.stock_id, "name": name, "extension_attributes": {"sales_channels": channels}}
    raise CommerceRefusal(404, "No linked stock found")


def _search_products(call: Call) -> Document:
    # Filters call the id `entity_id`, answers call it `id`.
    products = [document | {"entity_id": document["id"]} for document in call.state.catalog.documents(call.view)]
    answer = search(products, call.query, PRODUCT_COLUMNS)
    for document in answer["items"]:
        del document["entity_id"]
    return answer


def _get_product(call: Call) -> Document:
    document = call.state.catalog.document(call.arguments["sku"], call.view)
    if document is None:
        raise CommerceRefusal(404, "The product that was requested doesn't exist. Verify the product and try again.")
    return document


def _are_salable(call: Call) -> list[Document]:
    _need_stocks(call)
    stock_id = _whole(need(call.query, "stockId", "stock_id"))
    requests = bracketed(call.query, "skuRequests") or bracketed(call.query, "sku_requests")
    if not requests:
        raise required(["skuRequests"])
    answers = []
    for one in requests.values():
        if not isinstance(one, dict) or "sku" not in one or "qty" not in one:
            raise required(["qty" if isinstance(one, dict) and "sku" in one else "sku"])
        errors = call.state.catalog.shortfalls(
            one["sku"], stock_id, decimal(one["qty"]), is_cart_checked=call.state.seed.checks_cart_limits
        )
        answers.append({"sku": one["sku"], "stock_id": stock_id, "salable": not errors, "errors": errors})
    return answers


def _salable_quantity(call: Call) -> Decimal:
    _need_stocks(call)
    return call.state.catalog.salable(call.arguments["sku"], int(call.arguments["stock_id"]))


def _stock_item(call: Call) -> Document:
    item = call.state.catalog.stock_item(call.arguments["sku"])
    if item is None:
        raise CommerceRefusal(404, "The product that was requested doesn't exist. Verify the product and try again.")
    return item


def _search_orders(call: Call) -> Document:
    answer = search(call.state.all_orders(), call.query, ORDER.columns)
    return answer | {"items": [_shown(order) for order in answer["items"]]}


def _get_order(call: Call) -> Document:
    return _shown(call.state.order(call.arguments["id"]))


def _save_order(call: Call) -> Document:
    entity = call.body.get("entity")
    if entity is None:
        raise required(["entity"])
    if isinstance(entity, dict) and entity.get("entity_id"):
        return _shown(call.state.update_order(entity))
    return _shown(call.state.create_order(entity, call.view))


def _save_address(call: Call) -> Document:
    entity = call.body.get("entity")
    if not isinstance(entity, dict):
        raise required(["entity"])
    return call.state.save_address(call.arguments["parent_id"], entity)


def _invoice_order(call: Call) -> int:
    return call.state.invoice_order(int(call.arguments["id"]), _quantities(call), notify=_flag(call, "notify"))


def _ship_order(call: Call) -> int:
    extension = _part(_part(call.body, "arguments"), "extension_attributes")
    return call.state.ship_order(
        int(call.arguments["id"]),
        _quantities(call),
        [_track(track) for track in _objects(call.body.get("tracks"))],
        notify=_flag(call, "notify"),
        comment=_part(call.body, "comment").get("comment"),
        source_code=str(extension.get("source_code", "default")),
    )


def _search_shipments(call: Call) -> Document:
    return search(call.state.shipments(), call.query, SHIPMENT_COLUMNS)


def _get_shipment(call: Call) -> Document:
    return call.state.shipment(call.arguments["id"])


def _add_track(call: Call) -> Document:
    entity = call.body.get("entity")
    if not isinstance(entity, dict):
        raise required(["entity"])
    if missing := [field for field in ("order_id", "parent_id", "track_number", "carrier_code") if field not in entity]:
        raise required(missing)
    return call.state.put_track(_whole(entity["parent_id"]), _whole(entity["order_id"]), _track(entity))


def _comment_order(call: Call) -> bool:
    entry = call.body.get("statusHistory", call.body.get("status_history"))
    if entry is None:
        raise required(["statusHistory"])
    call.state.comment_order(int(call.arguments["id"]), entry)
    return True


def _order_comments(call: Call) -> Document:
    histories = call.state.order(call.arguments["id"])["status_histories"]
    return {"items": histories, "search_criteria": {"filter_groups": []}, "total_count": len(histories)}


def _cancel_order(call: Call) -> bool:
    return call.state.cancel_order(int(call.arguments["id"]))


def _hold_order(call: Call) -> bool:
    return call.state.hold_order(int(call.arguments["id"]))


def _unhold_order(call: Call) -> bool:
    return call.state.hold_order(int(call.arguments["id"]), is_released=True)


def _refund_order(call: Call) -> int:
    arguments = _part(call.body, "arguments")
    shipping = arguments.get("shipping_amount")
    returned = _part(arguments, "extension_attributes").get("return_to_stock_items") or []
    return call.state.refund_order(
        int(call.arguments["id"]),
        _quantities(call),
        shipping=None if shipping is None else decimal(shipping),
        returned={_whole(item_id) for item_id in returned},
        comment=_part(call.body, "comment").get("comment") if _flag(call, "appendComment") else None,
        notify=_flag(call, "notify"),
    )


def _search_customers(call: Call) -> Document:
    customers = [document | {"entity_id": document["id"]} for document in call.state.customers()]
    answer = search(customers, call.query, CUSTOMER_COLUMNS)
    for document in answer["items"]:
        del document["entity_id"]
    return answer


def _save_customer(call: Call) -> Document:
    return save_customer(call.state, int(call.arguments["customer_id"]), call.body.get("customer"), call.view)


def _create_account(call: Call) -> Document:
    return create_account(call.state, call.body.get("customer"), call.view)


def _shown(order: Document) -> Document:
    """The order as Commerce returns it: lines repeated in each shipping assignment, payment texts as pairs."""
    extension = order["extension_attributes"]
    assignments = [one | {"items": order["items"]} for one in extension["shipping_assignments"]]
    texts = order["payment"]["additional_information"]
    pairs = [{"key": str(number), "value": text} for number, text in enumerate(texts)]
    added = {"shipping_assignments": assignments, "payment_additional_info": pairs}
    return order | {"extension_attributes": extension | added}


def _quantities(call: Call) -> dict[int, Decimal] | None:
    """The `items` of a body as order item id -> quantity. None if there are none, which means everything left."""
    quantities: dict[int, Decimal] = {}
    for item in _objects(call.body.get("items")):
        if missing := [field for field in ("order_item_id", "qty") if field not in item]:
            raise required(missing)
        item_id = _whole(item["order_item_id"])
        quantities[item_id] = quantities.get(item_id, Decimal(0)) + decimal(item["qty"])
    return quantities or None


def _track(given: Document) -> Track:
    return str(given.get("carrier_code") or ""), str(given.get("title") or ""), str(given.get("track_number") or "")


def _objects(value: Any) -> list[Document]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise bad_type(value, "array")
    return value


def _part(body: Document, name: str) -> Document:
    part = body.get(name) or {}
    if not isinstance(part, dict):
        raise bad_type(part, "array")
    return part


def _flag(call: Call, name: str) -> bool:
    return call.body.get(name) in (True, 1, "1", "true")


def _whole(value: Any) -> int:
    return int(decimal(value, "int"))


def _route(method: str, path: str, operation: str, resource: str, work: Callable[[Call], Any]) -> Route:
    """`path` is as in the OpenAPI document. `{id}` and `{stock_id}` are digits, the rest anything but a slash."""

    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'[0-9]+' if match[1].endswith('id') else '[^/]+'})"

    return Route(method, re.compile(re.sub(r"\{(\w+)\}", group, path)), operation, resource, work)


# The rights are those of Magento 2.4.9: `etc/webapi.xml` of each module.
_SALES = "Magento_Sales::"
_STOCK = "Magento_InventorySalesApi::stock"
SAVE_ORDERS = "Magento_Sales::api_actions"
ANONYMOUS = "anonymous"  # everybody has this one
ROUTES = (
    _route("GET", "store/storeViews", "storeViews", "Magento_Backend::store", _store_views),
    _route("GET", "store/websites", "websites", "Magento_Backend::store", _websites),
    _route("GET", "store/storeConfigs", "storeConfigs", "Magento_Backend::store", _store_configs),
    _route("GET", "inventory/stock-resolver/website/{code}", "stockResolver", _STOCK, _resolve_stock),
    _route("GET", "products", "searchProducts", "Magento_Catalog::products", _search_products),
    _route("GET", "products/{sku}", "getProduct", "Magento_Catalog::products", _get_product),
    _route("GET", "inventory/are-product-salable-for-requested-qty", "areSalableForQty", _STOCK, _are_salable),
    _route(
        "GET", "inventory/get-product-salable-quantity/{sku}/{stock_id}", "salableQuantity", _STOCK, _salable_quantity
    ),
    _route("GET", "stockItems/{sku}", "stockItem", "Magento_CatalogInventory::cataloginventory", _stock_item),
    _route("GET", "orders", "searchOrders", _SALES + "actions_view", _search_orders),
    _route("POST", "orders", "createOrder", SAVE_ORDERS, _save_order),
    _route("PUT", "orders/create", "createOrder", _SALES + "create", _save_order),
    _route("PUT", "orders/{parent_id}", "saveAddress", _SALES + "create", _save_address),
    _route("GET", "orders/{id}", "getOrder", _SALES + "actions_view", _get_order),
    _route("GET", "orders/{id}/comments", "orderComments", _SALES + "actions_view", _order_comments),
    _route("POST", "orders/{id}/comments", "commentOrder", _SALES + "comment", _comment_order),
    _route("POST", "orders/{id}/cancel", "cancelOrder", _SALES + "cancel", _cancel_order),
    _route("POST", "orders/{id}/hold", "holdOrder", _SALES + "hold", _hold_order),
    _route("POST", "orders/{id}/unhold", "unholdOrder", _SALES + "unhold", _unhold_order),
    _route("POST", "order/{id}/refund", "refundOrder", _SALES + "creditmemo", _refund_order),
    _route("POST", "order/{id}/invoice", "invoiceOrder", _SALES + "invoice", _invoice_order),
    _route("POST", "order/{id}/ship", "shipOrder", _SALES + "ship", _ship_order),
    _route("GET", "shipments", "searchShipments", _SALES + "shipment", _search_shipments),
    _route("GET", "shipment/{id}", "getShipment", _SALES + "shipment", _get_shipment),
    _route("POST", "shipment/track", "addTrack", _SALES + "shipment", _add_track),
    _route("GET", "customers/search", "searchCustomers", "Magento_Customer::customer", _search_customers),
    _route("PUT", "customers/{customer_id}", "createCustomer", "Magento_Customer::manage", _save_customer),
    _route("POST", "customers", "createAccount", ANONYMOUS, _create_account),
)
