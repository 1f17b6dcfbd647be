"""Talks to Adobe Commerce / Magento over REST: our words go in and out, Commerce's documents stay inside.

Each method sends each request once. Reads that fail raise UnavailableError; a write whose answer is lost raises
OutcomeUnknownError. 401 and 403 raise NotAuthorizedError, 429 ThrottledError, other 4xx RefusedError.
Paths and fields: openapi-admin-2.4.9 and openapi-accs; pitfalls: https://developer.adobe.com/commerce/webapi/rest/.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import httpx
import simplejson

from include.adapters.api_calls import CallRecorder
from include.adapters.commerce.auth import USER_AGENT
from include.adapters.commerce.documents import (
    ORDER_FIELDS,
    PRODUCT_FIELDS,
    UNASSIGNED_STOCK,
    CatalogProduct,
    CommerceOrder,
    StoreView,
    join_store_views,
    read_id,
    read_number,
    read_order,
    read_product,
    read_rows,
    read_salable,
    read_stock_item,
)
from include.adapters.commerce.errors import Scrub, explain, words
from include.adapters.commerce.rights import HARMLESS, RIGHT_OF, Right, listed, missing_rights
from include.adapters.commerce.search import PAGE_SIZE, Filter, batches, search_query, sku_key
from include.adapters.http import NotAuthorizedError, Timeouts, exchange, http_date, is_loopback, open_client
from include.domain.errors import MisconfiguredError, NotFoundError, OutcomeUnknownError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

_ALL_VIEWS = "all"
_MOST_UNITS = 2**20

Read = TypeVar("Read")


class CommerceClient:
    """One shop behind one Airflow connection. Not for use by several threads at once."""

    def __init__(
        self,
        *,
        host: str,
        auth: httpx.Auth,
        edition: Literal["paas", "saas"],
        connection: str,
        record: CallRecorder,
        timeouts: Timeouts,
    ) -> None:
        """`host` is the shop's base address (SaaS: with the tenant), `connection` the Airflow connection's name.

        Raises MisconfiguredError for an address that may not be called or an unknown edition.
        """
        if edition not in ("paas", "saas"):
            raise MisconfiguredError(f"Connection {connection}: unknown edition. Resolution: use paas or saas.")
        self._client = open_client(host, connection=connection, timeouts=timeouts, user_agent=USER_AGENT)
        self._client.auth = auth
        self.is_local = is_loopback(self._client.base_url.host)  # a stand-in for a shop
        self._edition = edition
        self._connection = connection
        self._record = record
        self._views: dict[str, StoreView] | None = None
        self.shop_time: datetime | None = None  # the shop's clock when it answered last, UTC

    def __enter__(self) -> CommerceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def store_views(self) -> dict[str, StoreView]:
        """Every store view by its code, without the admin's; asked once per client."""
        if self._views is None:
            self._views = self._load_store_views()
        return self._views

    def probe(self) -> None:
        """Ask the shop for something small. Raises what any call raises when the shop does not answer."""
        self._read("storeViews", read_rows, self._send("storeViews", "GET", "store/storeViews"))

    def probe_right(self, right: Right) -> None:
        """Ask the shop for something that needs this right and changes nothing. Raises NotAuthorizedError."""
        operation, method, path, query = HARMLESS[right]
        with suppress(RefusedError):  # which also means: allowed
            self._send(operation, method, path, query=query, body={} if method == "POST" else None)

    def products(self, store_view: str, skus: Collection[str]) -> dict[str, CatalogProduct]:
        """The catalog's products by requested SKU, as `store_view` sees them; what the catalog lacks is absent.

        Compared without case, as Commerce's database does. The view matters: a product can be disabled in one of them.
        """
        found: dict[str, CatalogProduct] = {}
        for batch in batches(sorted(sku for sku in set(skus) if sku.strip())):
            # Commerce splits the list of `in` at commas; filters of one group are OR-ed.
            plain = [sku for sku in batch if "," not in sku]
            group: list[Filter] = [("sku", "eq", sku) for sku in batch if "," in sku]
            if plain:
                group.append(("sku", "in", ",".join(plain)))
            for product in self._search(
                "searchProducts", "products", [group], PRODUCT_FIELDS, read_product, scope=store_view, key="id"
            ):
                found[sku_key(product.sku)] = product
        return {sku: found[sku_key(sku)] for sku in skus if sku_key(sku) in found}

    def salable(self, stock_id: int, wanted: Mapping[str, Decimal]) -> dict[str, bool | None]:
        """Whether the stock can sell each SKU's wanted quantity; a SKU that Commerce leaves out cannot be sold.

        None: Commerce refuses to answer for this SKU, because of its product type. Commerce counts backorders and
        unmanaged stock in, and does not look at whether a product is enabled.
        """
        found: dict[str, bool | None] = {}
        for batch in batches(sorted(wanted)):
            found |= self._salable(stock_id, {sku: wanted[sku] for sku in batch})
        return {sku: found.get(sku_key(sku), False) for sku in wanted}

    def _salable(self, stock_id: int, wanted: Mapping[str, Decimal]) -> dict[str, bool | None]:
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

        Settings that the product leaves to the shop's configuration are hidden: Commerce's defaults count for them
        (stock is managed, no backorders, no reserve). Nothing where Commerce knows no stock of it.
        """
        try:
            document = self._send("stockItem", "GET", f"stockItems/{quote(sku, safe='')}", subject=sku)
        except RefusedError as error:
            log.info("commerce stockItem: no stock of %s is known (%s)", sku, error.code)
            return Decimal(0)
        return self._read("stockItem", read_stock_item, document)

    def _probed_quantity(self, sku: str, stock_id: int) -> Decimal:
        """The largest number of units, below 2**20, that Commerce reports it can sell, by bisection."""
        enough, too_many = 0, 1
        while too_many < _MOST_UNITS and self.salable(stock_id, {sku: Decimal(too_many)})[sku]:
            enough, too_many = too_many, too_many * 2
        while too_many - enough > 1:
            middle = (enough + too_many) // 2
            if self.salable(stock_id, {sku: Decimal(middle)})[sku]:
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

    def create_order(self, store_view: str, document: bytes, *, subject: str, scrub: Scrub) -> CommerceOrder:
        """Create the order of `document` (see mapping.encode_order) with one POST.

        `subject` is the Amazon order id. `scrub` removes the buyer's data from Commerce's words: a refusal can quote
        what was sent. Raises RefusedError, with the code `duplicate` when the order number is taken, and
        OutcomeUnknownError when the order may exist.
        """
        answer = self._send(
            "createOrder",
            "POST",
            "orders",
            scope=store_view,
            query=[("fields", ORDER_FIELDS)],
            body=document,
            subject=subject,
            scrub=scrub,
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

    def invoice(self, commerce_order_id: str) -> str:
        """Invoice the whole order without a mail and return the invoice's id. A second time is refused."""
        body = {"capture": True, "notify": False}
        document = self._send(
            "invoiceOrder", "POST", f"order/{commerce_order_id}/invoice", body=body, subject=commerce_order_id
        )
        return self._read("invoiceOrder", read_id, document, is_write=True, subject=commerce_order_id)

    def customer_id(self, email: str, website_id: int) -> int | None:
        """The id of the customer with this e-mail address in the website, None if there is none."""
        groups: list[list[Filter]] = [[("email", "eq", email)], [("website_id", "eq", str(website_id))]]
        ids = self._search("searchCustomers", "customers/search", groups, "id", lambda row: int(row["id"]), key="id")
        return ids[0] if ids else None

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

    def _search(
        self,
        operation: str,
        path: str,
        groups: Sequence[Sequence[Filter]],
        fields: str,
        read: Callable[[Any], Read],
        *,
        scope: str = _ALL_VIEWS,
        key: str = "entity_id",
        subject: str = "",
    ) -> list[Read]:
        """Every hit once, by ascending id."""
        found: dict[int, Read] = {}
        for page in self.pages(operation, path, groups, fields, read, scope=scope, key=key, subject=subject):
            found.update(page)
        return [found[entity_id] for entity_id in sorted(found)]

    def pages(
        self,
        operation: str,
        path: str,
        groups: Sequence[Sequence[Filter]],
        fields: str,
        read: Callable[[Any], Read],
        *,
        scope: str = _ALL_VIEWS,
        key: str = "entity_id",
        subject: str = "",
    ) -> Iterator[dict[int, Read]]:
        """The hits of each page of a search, by id.

        Commerce repeats its last page for ever: `total_count` says when to stop.
        """
        query = search_query(groups, fields)
        seen: set[int] = set()
        page, total = 1, 1
        while (page - 1) * PAGE_SIZE < total:
            numbered = [*query, ("searchCriteria[currentPage]", str(page))]
            document = self._send(operation, "GET", path, scope=scope, query=numbered, subject=subject)

            def read_page(document: Any) -> tuple[int, dict[int, Read]]:
                rows = read_rows(document["items"] or [])
                return int(document["total_count"]), {int(row[key]): read(row) for row in rows}

            total, hits = self._read(operation, read_page, document, subject=subject)
            if hits.keys() <= seen:  # the count is wrong, or hits went away meanwhile
                break
            yield hits
            seen |= hits.keys()
            page += 1

    def _send(
        self,
        operation: str,
        method: Literal["GET", "POST"],
        path: str,
        *,
        scope: str = _ALL_VIEWS,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | bytes | None = None,
        subject: str = "",
        scrub: Scrub = str,
    ) -> Any:
        """Send one request to a store view (`scope`) and return the JSON of its answer. Its right is in RIGHT_OF."""
        if operation not in RIGHT_OF:
            raise LookupError(f"{operation} is not in rights.RIGHT_OF")
        is_saas = self._edition == "saas"
        url = f"V1/{path}" if is_saas else f"rest/{scope}/V1/{path}"
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="")
        headers = {"Store": scope} if is_saas else {}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = body if isinstance(body, bytes) else simplejson.dumps(body, use_decimal=True).encode()
        request = self._client.build_request(method, url, headers=headers, content=content)
        try:
            answer = exchange(
                self._client,
                request,
                system="commerce",
                connection=self._connection,
                operation=operation,
                is_write=method != "GET",
                record=self._record,
                subject=subject,
                explain=lambda status, document: explain(status, document, scrub),
            )
        except NotAuthorizedError as error:
            rights = missing_rights(operation, error.answer.document)
            raise NotAuthorizedError(
                f"Commerce refused {operation} ({error.answer.status}: {words(error.answer.document, scrub)}). "
                f"Resolution: check that the integration behind the connection {self._connection} has the right "
                f"{listed(rights)}; if it has, check the credentials in the connection and this machine's clock.",
                error.answer,
                error.code,
            ) from None
        self.shop_time = http_date(answer.headers.get("Date", ""))
        return answer.document

    def _read(
        self,
        operation: str,
        read: Callable[[Any], Read],
        document: Any,
        *,
        is_write: bool = False,
        subject: str = "",
    ) -> Read:
        try:
            return read(document)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            # No cause and no values: they could hold personal data.
            what = f"commerce {operation}" + (f" of {subject}" if subject else "")
            if is_write:
                raise OutcomeUnknownError(
                    f"{what}: the answer is not what was asked for; whether it was done is unknown. "
                    "Resolution: it is looked up before it is sent again."
                ) from None
            raise UnavailableError(
                f"{what}: the answer is not what was asked for. Resolution: it is tried again; if it stays so, check "
                f"that the connection {self._connection} points at a Commerce REST API of the right edition."
            ) from None
