"""What validation has just learned from the shop about products and store views: no need to ask again per order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, and_, select

from include.adapters.commerce.catalog import store_view
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CatalogProduct, StoreView
from include.database.tables import products as products_table
from include.database.tables import store_views as store_views_table
from include.domain.stores import Store

GOOD_FOR = timedelta(minutes=15)


@dataclass(frozen=True)
class KnownCatalog:
    """The facts of this run's validation, while they are fresh; else the shop's own answer."""

    clock: Callable[[], datetime]
    dag_run_id: str

    def products(
        self, connection: Connection, client: CommerceClient, store: Store, skus: Collection[str]
    ) -> dict[str, CatalogProduct]:
        """The products by catalog SKU; what the catalog lacks is absent."""
        table = products_table
        query = select(table).where(self._is_fresh(table, store), table.c.catalog_sku.in_(sorted(skus)))
        known = {
            row.catalog_sku: CatalogProduct(
                product_id=int(row.commerce_product_id),
                sku=row.commerce_sku,
                name=row.product_name,
                is_enabled=row.is_enabled,
                type_id=row.type_id,
                price=None,  # orders have Amazon's
                weight=row.weight,
                website_ids=None,
            )
            for row in connection.execute(query)
            if row.commerce_product_id is not None
        }
        return known if known.keys() >= set(skus) else client.products(store.commerce_store_view, skus)

    def view(self, connection: Connection, client: CommerceClient, store: Store) -> StoreView:
        """The store view of `store`. Raises as catalog.store_view does."""
        table = store_views_table
        row = connection.execute(select(table).where(self._is_fresh(table, store))).one_or_none()
        if row is None:
            return store_view(client, store)
        return StoreView(
            store_id=row.store_id,
            code=row.commerce_store_view,
            website_id=row.website_id,
            website_code=row.website_code,
            base_currency=row.base_currency_code,
            stock_id=row.stock_id,
        )

    def _is_fresh(self, table: Table, store: Store) -> ColumnElement[bool]:
        return and_(
            table.c.commerce_connection == store.commerce_connection,
            table.c.commerce_store_view == store.commerce_store_view,
            table.c.dag_run_id == self.dag_run_id,
            table.c.checked_at >= self.clock() - GOOD_FOR,
        )
