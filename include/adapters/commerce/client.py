"""Talks to Adobe Commerce / Magento over REST: our words go in and out, Commerce's documents stay inside.

Each method sends each request once. Reads that fail raise UnavailableError; a write whose answer is lost raises
OutcomeUnknownError. 401 and 403 raise NotAuthorizedError, 429 ThrottledError, other 4xx RefusedError.
Paths and fields: openapi-admin-2.4.9 and openapi-accs; pitfalls: https://developer.adobe.com/commerce/webapi/rest/.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from include.adapters.commerce.documents import (
    ADDRESSES_FIELDS,
    ORDER_FIELDS,
    PRODUCT_FIELDS,
    UNASSIGNED_STOCK,
    CatalogProduct,
    CommerceOrder,
    Salability,
    StoreView,
    is_unlimited,
    join_store_views,
    read_addresses,
    read_flag,
    read_id,
    read_number,
    read_order,
    read_product,
    read_rows,
    read_salable,
    read_stock_item,
)
from include.adapters.commerce.rest import RestClient
from include.adapters.commerce.rights import HARMLESS, Right
from include.adapters.commerce.search import Filter, any_of, batches, sku_key
from include.domain.errors import MisconfiguredError, NotFoundError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

_MOST_UNITS = 2**20
_NOTHING = Salability(is_enough=False, codes=frozenset())


class CommerceClient(RestClient):
    """One shop behind one Airflow connection. Threads may share it; each call takes a connection of its own."""

    def __init__(self, **options: Any) -> None:
        """`options`: see RestClient."""
        super().__init__(**options)
        self._asking = threading.Lock()  # what is asked once is asked by one thread
        self._views: dict[str, StoreView] | None = None
        self._customers: dict[tuple[str, int | None], int] = {}

    def store_views(self) -> dict[str, StoreView]:
        """Every store view by its code, without the admin's; asked once per client."""
        with self._asking:
            if self._views is None:
                self._views = self._load_store_views()
            return self._views

    def has_stocks(self) -> bool:
        """Whether the shop has multi-source inventory; without it, one legacy stock counts for all store views."""
        return any(view.stock_id is not None for view in self.store_views().values())

    def probe(self) -> None:
        """Ask the shop for something small. Raises what any call raises when the shop does not answer."""
        self._read("storeViews", read_rows, self._send("storeViews", "GET", "store/storeViews"))

    def probe_right(self, right: Right) -> None:
        """Ask the shop for something that needs this right and changes nothing. Raises NotAuthorizedError."""
        operation, method, path, query = HARMLESS[right]
        with suppress(RefusedError):  # which also means: allowed
            self._send(operation, method, path, query=query, body=None if method == "GET" else {})

    def products(self, store_view: str, skus: Collection[str]) -> dict[str, CatalogProduct]:
        """The catalog's products by requested SKU, as `store_view` sees them; what the catalog lacks is absent.

        Compared without case, as Commerce's database does. The view matters: a product can be disabled in one of them.
        """
        found: dict[str, CatalogProduct] = {}
        for batch in batches(sorted(sku for sku in set(skus) if sku.strip())):
            groups = [any_of("sku", batch)]
            for product in self._search(
                "searchProducts", "products", groups, PRODUCT_FIELDS, read_product, scope=store_view, key="id"
            ):
                found[sku_key(product.sku)] = product
        return {sku: found[sku_key(sku)] for sku in skus if sku_key(sku) in found}

    def salable(self, stock_id: int, wanted: Mapping[str, Decimal]) -> dict[str, Salability | None]:
        """Whether the stock can sell each SKU's wanted quantity; a SKU that Commerce leaves out cannot be sold.

        None: Commerce refuses to answer for this SKU, because of its product type. Commerce counts backorders and
        unmanaged stock in, and does not look at whether a product is enabled. It takes the quantity for that of one
        cart: a shop can be made to check its cart limits here as well, and then says nothing else.
        """
        found: dict[str, Salability | None] = {}
        for batch in batches(sorted(wanted)):
            found |= self._salable(stock_id, {sku: wanted[sku] for sku in batch})
        return {sku: found.get(sku_key(sku), _NOTHING) for sku in wanted}

    def _salable(self, stock_id: int, wanted: Mapping[str, Decimal]) -> dict[str, Salability | None]:
        """By `sku_key`. Commerce refuses the whole request because of one SKU: halving finds it."""
        query = [("stockId", str(stock_id))]
        for index, (sku, qty) in enumerate(wanted.items()):
            query += [(f"skuRequests[{index}][sku]", sku), (f"skuRequests[{index}][qty]", f"{qty:f}")]
        path = "inventory/are-product-salable-for-requested-qty/"
        try:
            document = self._send("areSalableForQty", "GET", path, query=query)
        except RefusedError:
            skus = list(wanted)
            if len(skus) == 1:
                return {sku_key(skus[0]): None}
            halves = (skus[: len(skus) // 2], skus[len(skus) // 2 :])
            first, second = (self._salable(stock_id, {sku: wanted[sku] for sku in half}) for half in halves)
            return first | second
        return dict(self._read("areSalableForQty", read_salable, document))

    def salable_quantity(self, sku: str, stock_id: int) -> Decimal:
        """The quantity of `sku` that the stock can sell. Raises RefusedError where Commerce knows none.

        Whole units for a SKU with a slash: web servers refuse one in a path (magento2 issues 13343, 21179).
        """
        if "/" in sku:
            return self._probed_quantity(sku, stock_id)
        path = f"inventory/get-product-salable-quantity/{quote(sku, safe='')}/{stock_id}"
        document = self._send("salableQuantity", "GET", path, subject=sku)
        return self._read("salableQuantity", read_number, document)

    def legacy_quantity(self, sku: str) -> Decimal | None:
        """What a shop without multi-source inventory can sell of `sku`; None: its stock is not limited.

        Nothing where Commerce knows no stock of it.
        """
        try:
            document = self._send("stockItem", "GET", f"stockItems/{quote(sku, safe='')}", subject=sku)
        except RefusedError as error:
            log.info("commerce stockItem: no stock of %s is known (%s)", sku, error.code)
            return Decimal(0)
        return self._read("stockItem", read_stock_item, document)

    def is_unlimited(self, sku: str) -> bool:
        """Whether the product's stock is not managed, or backorders are allowed. False where Commerce does not say."""
        try:
            document = self._send("getProduct", "GET", f"products/{quote(sku, safe='')}", subject=sku)
        except RefusedError as error:
            log.info("commerce getProduct: no stock settings of %s are known (%s)", sku, error.code)
            return False
        return self._read(
            "getProduct", lambda found: is_unlimited(found["extension_attributes"]["stock_item"]), document
        )

    def _probed_quantity(self, sku: str, stock_id: int) -> Decimal:
        """The largest number of units, below 2**20, against which Commerce reports nothing but cart limits.

        Found by bisection.
        """

        def is_enough(units: int) -> bool:
            found = self.salable(stock_id, {sku: Decimal(units)})[sku]
            return found is not None and (found.is_enough or found.is_about_carts)

        enough, too_many = 0, 1
        while too_many < _MOST_UNITS and is_enough(too_many):
            enough, too_many = too_many, too_many * 2
        while too_many - enough > 1:
            middle = (enough + too_many) // 2
            if is_enough(middle):
                enough = middle
            else:
                too_many = middle
        return Decimal(enough)

    def find_orders(
        self, *, ext_order_id: str | None = None, increment_id: str | None = None, store_id: int | None = None
    ) -> list[CommerceOrder]:
        """The orders that match every given id, oldest first. `ext_order_id` is not unique in Commerce.

        Raises ValueError without an `ext_order_id` or `increment_id`: it would list the shop's every order.
        """
        if ext_order_id is None and increment_id is None:
            raise ValueError("find_orders needs an ext_order_id or an increment_id")
        wanted = (("ext_order_id", ext_order_id), ("increment_id", increment_id), ("store_id", store_id))
        groups: list[list[Filter]] = [[(field, "eq", str(value))] for field, value in wanted if value is not None]
        subject = ext_order_id or increment_id or ""
        return self._search("searchOrders", "orders", groups, ORDER_FIELDS, read_order, subject=subject)

    def find_orders_of(self, ext_order_ids: Collection[str]) -> dict[str, list[CommerceOrder]]:
        """The orders that carry each of these ids as `ext_order_id`, oldest first; fifty ids in one request."""
        found: dict[str, list[CommerceOrder]] = defaultdict(list)
        for batch in batches(sorted(set(ext_order_ids))):
            groups = [any_of("ext_order_id", batch)]
            for order in self._search("searchOrders", "orders", groups, ORDER_FIELDS, read_order):
                found[sku_key(order.ext_order_id or "")].append(order)
        return {ext_order_id: found.get(sku_key(ext_order_id), []) for ext_order_id in ext_order_ids}

    def orders_by_id(self, commerce_order_ids: Collection[str]) -> dict[str, CommerceOrder]:
        """These orders by their entity_id, fifty in one request; what the shop does not have is absent."""
        found: dict[str, CommerceOrder] = {}
        for batch in batches(sorted(set(commerce_order_ids))):
            groups = [any_of("entity_id", batch)]
            for order in self._search("searchOrders", "orders", groups, ORDER_FIELDS, read_order):
                found[order.order_id] = order
        return found

    def order(self, commerce_order_id: str) -> CommerceOrder:
        """One order by its entity_id. Raises NotFoundError."""
        document = self._send(
            "getOrder",
            "GET",
            f"orders/{commerce_order_id}",
            query=[("fields", ORDER_FIELDS)],
            subject=commerce_order_id,
        )
        return self._read("getOrder", read_order, document)

    def create_order(
        self, store_view: str, document: bytes, *, subject: str, personal: Collection[str]
    ) -> CommerceOrder:
        """Create the order of `document` (see mapping.encode_order) with one POST.

        `subject` is the Amazon order id; `personal` has every text of its buyer and recipient, of which a refusal that
        quotes the order must show nothing. Raises RefusedError, with the code `duplicate` when the order number is
        taken, and OutcomeUnknownError when the order may exist.
        """
        answer = self._send(
            "createOrder",
            "POST",
            "orders",
            scope=store_view,
            query=[("fields", ORDER_FIELDS)],
            body=document,
            subject=subject,
            personal=personal,
        )
        return self._read("createOrder", read_order, answer, is_write=True, subject=subject)

    def set_status(self, order: CommerceOrder, *, state: str, status: str) -> None:
        """Give the order a state and one of that state's statuses; safe to repeat."""
        entity = {
            "entity_id": int(order.order_id),
            # Older versions draw a new number for an order that comes without one (magento2 issues 8020, 17828).
            "increment_id": order.number,
            "state": state,
            "status": status,
        }
        self._send(
            "updateOrder",
            "POST",
            "orders",
            query=[("fields", "entity_id")],
            body={"entity": entity},
            subject=order.order_id,
        )

    def addresses(self, commerce_order_id: str) -> list[dict[str, Any]]:
        """The order's billing and shipping address as Commerce's documents; a virtual order has no shipping address."""
        document = self._send(
            "getOrder",
            "GET",
            f"orders/{commerce_order_id}",
            query=[("fields", ADDRESSES_FIELDS)],
            subject=commerce_order_id,
        )
        return self._read("getOrder", read_addresses, document)

    def save_address(
        self, commerce_order_id: str, address_id: int, address: Mapping[str, Any], *, personal: Collection[str]
    ) -> None:
        """Give one address of the order other content; safe to repeat. `personal`: see `create_order`."""
        entity = {**address, "entity_id": address_id, "parent_id": int(commerce_order_id)}
        self._send(
            "saveAddress",
            "PUT",
            f"orders/{commerce_order_id}",
            query=[("fields", "entity_id")],
            body={"entity": entity},
            subject=commerce_order_id,
            personal=personal,
        )

    def invoice(self, commerce_order_id: str) -> str:
        """Invoice the whole order without a mail and return the invoice's id. A second time is refused."""
        body = {"capture": True, "notify": False}
        document = self._send(
            "invoiceOrder", "POST", f"order/{commerce_order_id}/invoice", body=body, subject=commerce_order_id
        )
        return self._read("invoiceOrder", read_id, document, is_write=True, subject=commerce_order_id)

    def cancel(self, commerce_order_id: str) -> bool:
        """Cancel what is neither invoiced nor shipped; False when Commerce finds nothing to cancel."""
        document = self._send("cancelOrder", "POST", f"orders/{commerce_order_id}/cancel", subject=commerce_order_id)
        return self._read("cancelOrder", read_flag, document, is_write=True, subject=commerce_order_id)

    def hold(self, commerce_order_id: str) -> bool:
        """Put the order on hold: it can be neither invoiced nor shipped until it is released."""
        document = self._send("holdOrder", "POST", f"orders/{commerce_order_id}/hold", subject=commerce_order_id)
        return self._read("holdOrder", read_flag, document, is_write=True, subject=commerce_order_id)

    def unhold(self, commerce_order_id: str) -> bool:
        """Release the order from hold; it gets the state back that it had before."""
        document = self._send("unholdOrder", "POST", f"orders/{commerce_order_id}/unhold", subject=commerce_order_id)
        return self._read("unholdOrder", read_flag, document, is_write=True, subject=commerce_order_id)

    def refund(self, commerce_order_id: str, units: Mapping[str, int], *, with_shipping: bool) -> str:
        """Make an offline credit memo of these units (Commerce's item_id -> units) and return its id. No mail.

        `with_shipping` credits what is left of the shipping charge as well. The units do not return to stock: for an
        order that was created directly, Commerce never reserved any.
        """
        body: dict[str, Any] = {
            "items": [{"order_item_id": int(item_id), "qty": qty} for item_id, qty in units.items()],
            "notify": False,
            "appendComment": True,
            "comment": {"comment": "Canceled on Amazon.", "is_visible_on_front": 0},
        }
        if not with_shipping:
            body["arguments"] = {"shipping_amount": 0}  # left out, Commerce credits all of it
        document = self._send(
            "refundOrder", "POST", f"order/{commerce_order_id}/refund", body=body, subject=commerce_order_id
        )
        return self._read("refundOrder", read_id, document, is_write=True, subject=commerce_order_id)

    def customer_id(self, email: str, website_id: int | None = None) -> int | None:
        """The id of the customer with this e-mail address in the website, or in any; None if there is none.

        One that was found is not asked for again by this client.
        """
        key = (email, website_id)
        if key not in self._customers:
            groups: list[list[Filter]] = [[("email", "eq", email)]]
            if website_id is not None:
                groups.append([("website_id", "eq", str(website_id))])
            ids = self._search(
                "searchCustomers", "customers/search", groups, "id", lambda row: int(row["id"]), key="id"
            )
            if not ids:
                return None
            self._customers[key] = ids[0]
        return self._customers[key]

    def create_customer(self, account: Mapping[str, Any], *, subject: str, personal: Collection[str]) -> int:
        """Make an account without a mail, and return its id. `subject` and `personal`: see `create_order`.

        Raises RefusedError, also when the website has an account of this address.
        """
        document = self._send(
            "createCustomer",
            "PUT",
            "customers/0",  # no account has this id: saving it makes a new one
            query=[("fields", "id")],
            body={"customer": account},
            subject=subject,
            personal=personal,
        )
        found = self._read("createCustomer", lambda row: read_id(row["id"]), document, is_write=True, subject=subject)
        return int(found)

    def _load_store_views(self) -> dict[str, StoreView]:
        try:
            document = self._send("storeViews", "GET", "store/storeViews")
        except NotFoundError as error:
            raise MisconfiguredError(
                f"There is no Commerce REST API behind the connection {self._connection} ({error.reason}). "
                "Resolution: check its host and its edition (paas or saas)."
            ) from error
        views = self._read("storeViews", read_rows, document)
        websites = self._read("websites", read_rows, self._send("websites", "GET", "store/websites"))
        configs = self._read("storeConfigs", read_rows, self._send("storeConfigs", "GET", "store/storeConfigs"))
        return self._read("storeViews", lambda rows: join_store_views(rows, websites, configs, self._stock_id), views)

    def _stock_id(self, website_code: str) -> int | None:
        path = f"inventory/stock-resolver/website/{quote(website_code, safe='')}"
        try:
            document = self._send("stockResolver", "GET", path, subject=website_code)
        except NotFoundError as error:
            if error.reason.startswith("Request does not match any route"):
                return None
            if error.reason.startswith("No linked stock"):
                return UNASSIGNED_STOCK
            raise UnavailableError(
                f"commerce stockResolver: no usable answer for the website {website_code} ({error.reason}). "
                "Resolution: none needed if it passes; otherwise look at what answers in the shop's place."
            ) from error
        return self._read("stockResolver", lambda found: int(found["stock_id"]), document)
