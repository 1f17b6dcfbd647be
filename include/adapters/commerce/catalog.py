"""What the shops report about the products of the orders in question: store views, catalog, and stock."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import UNASSIGNED_STOCK, CatalogProduct, StoreView
from include.adapters.http import NotAuthorizedError
from include.domain.errors import MisconfiguredError, OrdersError, RefusedError
from include.domain.orders import Candidate, OrderLine
from include.domain.stock import LineDemand, StockKey
from include.domain.stores import Store

log = logging.getLogger(__name__)

Commerce = Callable[[str], CommerceClient]


@dataclass(frozen=True)
class PendingTurn:
    """The line of an order that Amazon has not released yet, and when (UTC) it was bought."""

    amazon_order_id: str
    amazon_item_id: str
    purchased_at: datetime


@dataclass(frozen=True)
class AllocatedUnits:
    """Units of a product that go to orders created earlier and not yet shipped: Commerce reserves nothing for them.

    With a `turn`, the units are of a pending order: it has to wait for its turn among the candidates.
    """

    commerce_connection: str
    commerce_store_view: str
    catalog_sku: str
    qty: Decimal
    turn: PendingTurn | None = None


@dataclass
class CatalogFacts:
    """The shops' answers. A store whose shop did not answer is in `failures`; its candidates are not in `checked`."""

    checked: list[Candidate] = field(default_factory=list)
    failures: dict[Store, OrdersError] = field(default_factory=dict)
    views: dict[Store, StoreView] = field(default_factory=dict)
    products: dict[tuple[str, str], dict[str, CatalogProduct]] = field(default_factory=dict)  # by connection and view
    free: dict[tuple[StockKey, str], Decimal | None] = field(default_factory=dict)  # by stock and SKU, casefolded
    pending: list[LineDemand] = field(default_factory=list)  # of products that the candidates want, too
    without_stock: set[tuple[StockKey, str]] = field(default_factory=set)  # stock cannot be queried for this SKU

    def product(self, store: Store, line: OrderLine) -> CatalogProduct | None:
        """The product of an order line of `store`; None if the catalog lacks it."""
        return self.products[store.commerce_connection, store.commerce_store_view].get(line.catalog_sku(store))

    def product_rows(self) -> list[dict[str, Any]]:
        """What is known of the products of all candidates, as columns of core.products; each product once."""
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for candidate in self.checked:
            store = candidate.store
            for line in candidate.order.lines:
                product = self.product(store, line)
                key = (store.commerce_connection, store.commerce_store_view, line.catalog_sku(store))
                rows[key] = {
                    "commerce_connection": key[0],
                    "commerce_store_view": key[1],
                    "catalog_sku": key[2],
                    "commerce_product_id": str(product.product_id) if product else None,
                    "commerce_sku": product.sku if product else None,
                    "product_name": product.name if product else None,
                    "type_id": product.type_id if product else None,
                    "is_enabled": product is not None and product.is_enabled,
                    "salable_qty": self.free.get((self.stock_key(store), product.sku.casefold())) if product else None,
                    "weight": product.weight if product else None,
                }
        return list(rows.values())

    def failures_by_name(self) -> dict[str, OrdersError]:
        """Why a shop did not answer, by the names of its stores."""
        return {store.name: error for store, error in self.failures.items()}

    def view_rows(self) -> list[dict[str, Any]]:
        """What is known of the store views, as columns of core.store_views; each once."""
        stores = {candidate.store for candidate in self.checked}
        return list(
            {
                (store.commerce_connection, store.commerce_store_view): {
                    "commerce_connection": store.commerce_connection,
                    "commerce_store_view": store.commerce_store_view,
                    "store_id": view.store_id,
                    "website_id": view.website_id,
                    "website_code": view.website_code,
                    "base_currency_code": view.base_currency,
                    "stock_id": view.stock_id,
                }
                for store in stores
                if (view := self.views.get(store)) is not None
            }.values()
        )

    def stock_key(self, store: Store) -> StockKey:
        """The stock that `store` sells from; id 0 is the one legacy stock of a shop without multi-source inventory."""
        return store.commerce_connection, self.views[store].stock_id or 0

    def is_orderable(self, store: Store, product: CatalogProduct) -> bool:
        """Whether an order line can name the product, and its stock can be queried."""
        return product.is_orderable and (self.stock_key(store), product.sku.casefold()) not in self.without_stock

    def is_in_website(self, store: Store, product: CatalogProduct) -> bool:
        """Whether the product is assigned to the website of the store's view; True where the shop does not say."""
        return product.website_ids is None or self.views[store].website_id in product.website_ids

    def is_stock_checked(self, candidate: Candidate, product: CatalogProduct) -> bool:
        """Whether the stock of this product decides about the candidate."""
        return candidate.decision.is_stock_required and product.is_orderable


def store_view(client: CommerceClient, store: Store) -> StoreView:
    """The store view that `store` is bound to.

    Raises MisconfiguredError if the shop has none of that code, or no stock for its website.
    """
    views = client.store_views()
    if store.commerce_store_view not in views:
        raise MisconfiguredError(
            f"Store {store.name}: the shop behind {store.commerce_connection} has no store view "
            f"{store.commerce_store_view!r}. Resolution: use one of {', '.join(sorted(views))} in stores.yaml."
        )
    view = views[store.commerce_store_view]
    if view.stock_id == UNASSIGNED_STOCK:
        raise MisconfiguredError(
            f"Store {store.name}: no stock is assigned to the website {view.website_code} of the shop behind "
            f"{store.commerce_connection}, so nothing can be sold there. Resolution: in Commerce, under Stores > "
            "Inventory > Stocks, assign the website to a stock."
        )
    return view


def ask_shops(candidates: Sequence[Candidate], commerce: Commerce, allocated: Sequence[AllocatedUnits]) -> CatalogFacts:
    """Ask each shop once about all products of its candidates.

    `facts.free` is what is left after the `allocated` units, whichever store of the shop they were allocated to; those
    with a turn are in `facts.pending`.
    """
    facts = CatalogFacts()
    by_shop: dict[str, dict[Store, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in candidates:
        by_shop[candidate.store.commerce_connection][candidate.store].append(candidate)
    for connection, stores in by_shop.items():
        checked: list[Candidate] = []
        try:
            client = commerce(connection)
            for store, entries in stores.items():
                try:
                    facts.views[store] = store_view(client, store)
                except MisconfiguredError as error:
                    if isinstance(error, NotAuthorizedError):
                        raise
                    _fail(facts, (store,), error)
                    continue
                skus = {line.catalog_sku(store) for entry in entries for line in entry.order.lines}
                found = facts.products.setdefault((connection, store.commerce_store_view), {})
                found.update(client.products(store.commerce_store_view, skus))
                checked += entries
            own = [units for units in allocated if units.commerce_connection == connection]
            _ask_for_stock(client, checked, facts, own)
        except OrdersError as error:
            _fail(facts, stores, error)
        else:
            facts.checked += checked
    return facts


def _fail(facts: CatalogFacts, stores: Iterable[Store], error: OrdersError) -> None:
    for store in stores:
        log.warning("validate_orders: store=%s: %s", store.name, error)
        facts.failures.setdefault(store, error)


def _ask_for_stock(
    client: CommerceClient,
    candidates: Sequence[Candidate],
    facts: CatalogFacts,
    allocated: Sequence[AllocatedUnits],
) -> None:
    """Fill `facts.free` for one shop: None where all that is wanted can be sold, else the quantity that is left.

    Stores that share a stock share what is left of it.
    """
    wanted: dict[StockKey, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for candidate in candidates:
        for line in candidate.order.lines:
            product = facts.product(candidate.store, line)
            if product is not None and facts.is_stock_checked(candidate, product):
                wanted[facts.stock_key(candidate.store)][product.sku] += line.catalog_qty(candidate.store)
    taken: dict[tuple[StockKey, str], Decimal] = defaultdict(Decimal)
    pending: dict[tuple[StockKey, str], list[LineDemand]] = defaultdict(list)
    views = client.store_views() if allocated else {}
    for units in allocated:
        view = views.get(units.commerce_store_view)
        if view is None:
            continue
        key = ((units.commerce_connection, view.stock_id or 0), units.catalog_sku.casefold())
        if units.turn is None:
            taken[key] += units.qty
        else:
            pending[key].append(_pending_demand(units, units.turn, key[0]))
    facts.pending += [
        demand for stock_key, skus in wanted.items() for sku in skus for demand in pending[stock_key, sku.casefold()]
    ]
    for stock_key, skus in wanted.items():
        if not stock_key[1]:
            for sku in skus:
                key = (stock_key, sku.casefold())
                facts.free[key] = _left(client.legacy_quantity(sku), taken[key])
            continue
        needed = {
            sku: qty + taken[stock_key, sku.casefold()] + sum(each.qty for each in pending[stock_key, sku.casefold()])
            for sku, qty in skus.items()
        }
        for sku, answer in client.salable(stock_key[1], needed).items():
            key = (stock_key, sku.casefold())
            if answer is None:
                facts.without_stock.add(key)
            elif answer.is_enough:
                facts.free[key] = None
            else:
                salable = _salable_quantity(client, sku, stock_key[1])
                # The answer is about all orders together as if they were one cart. Unless it says that the quantity
                # decides, it can be about the cart only, and the product's own settings tell.
                is_unlimited = salable < needed[sku] and not answer.is_limited and client.is_unlimited(sku)
                facts.free[key] = None if is_unlimited else _left(salable, taken[key])


def _pending_demand(units: AllocatedUnits, turn: PendingTurn, stock_key: StockKey) -> LineDemand:
    return LineDemand(
        amazon_order_id=turn.amazon_order_id,
        amazon_item_id=turn.amazon_item_id,
        purchased_at=turn.purchased_at,
        catalog_sku=units.catalog_sku,
        stock_key=stock_key,
        qty=int(units.qty),
        is_stock_required=True,
        is_blocked=False,
    )


def _left(salable: Decimal | None, taken: Decimal) -> Decimal | None:
    """What the allocated units leave of a quantity; None: it is not limited."""
    return None if salable is None else max(salable - taken, Decimal(0))


def _salable_quantity(client: CommerceClient, sku: str, stock_id: int) -> Decimal:
    """What the stock can sell; nothing where the product is not assigned to the stock."""
    try:
        return client.salable_quantity(sku, stock_id)
    except RefusedError as error:
        log.info("validate_orders: stock %d knows no quantity of %s (%s)", stock_id, sku, error.code)
        return Decimal(0)
