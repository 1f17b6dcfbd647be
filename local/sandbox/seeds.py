"""The data that a scenario gives to the two sandbox servers; no behavior."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class AmazonApplication:
    """One application that one seller has authorized: the credentials of one account."""

    client_id: str
    client_secret: str
    refresh_token: str
    seller_id: str
    region: str  # na | eu | fe
    marketplace_ids: tuple[str, ...]
    has_pii_role: bool = True

    def connection_extra(self, endpoint: str) -> dict[str, str]:
        """The extra of an Airflow connection to a sandbox's Amazon at `endpoint`."""
        return {
            "token_url": f"{endpoint}/auth/o2/token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
            "seller_id": self.seller_id,
            "region": self.region,
        }


@dataclass(frozen=True)
class AmazonChange:
    """A change of an order at a moment of the sandbox's clock: `patch` is merged deeply into the order.

    A list in `patch` replaces the order's list, except for `orderItems`, whose entries are merged by `orderItemId`.
    None takes a field out.
    """

    at: datetime
    patch: dict[str, Any]


@dataclass(frozen=True)
class AmazonOrderSeed:
    """One Amazon order: the full document (all includedData) at its creation, and its later changes.

    It exists from `order["createdTime"]` on. Each change sets `lastUpdatedTime` to its `at`.
    """

    seller_id: str
    order: dict[str, Any]
    changes: tuple[AmazonChange, ...] = ()


@dataclass(frozen=True)
class Website:
    website_id: int
    code: str
    stock_id: int  # 0: no stock is assigned


@dataclass(frozen=True)
class StoreView:
    store_id: int
    code: str
    name: str
    website_id: int
    base_currency: str


@dataclass
class Product:
    product_id: int
    sku: str
    name: str
    price: Decimal
    website_ids: tuple[int, ...]
    status: int = 1  # 1 enabled, 2 disabled
    disabled_in: tuple[str, ...] = ()  # store view codes where it is disabled
    type_id: str = "simple"
    weight: Decimal = Decimal(1)
    quantities: dict[int, Decimal] = field(default_factory=dict)  # stock_id -> quantity on hand
    manage_stock: bool = True
    backorders: bool = False
    is_configured_by_shop: bool = False  # manage_stock and backorders come from the shop's configuration
    min_sale_qty: Decimal = Decimal(1)  # in one cart
    max_sale_qty: Decimal = Decimal(10_000)
    qty_increments: Decimal = Decimal(0)  # 0: any quantity


@dataclass(frozen=True)
class CatalogChange:
    """A change of the catalog at a moment of the sandbox's clock. The scenario uses it to fix a blocker."""

    at: datetime
    sku: str
    status: int | None = None
    quantities: dict[int, Decimal] | None = None
    create: Product | None = None


@dataclass(frozen=True)
class WarehouseAction:
    """The merchant ships (part of) an Amazon order in Commerce, at `at` or later, once its Commerce order exists."""

    at: datetime
    amazon_order_id: str
    tracks: tuple[tuple[str, str, str], ...]  # (carrier_code, title, track_number)
    quantities: dict[str, Decimal] | None = None  # amazon item id -> quantity; None ships everything that is left


@dataclass(frozen=True)
class CommerceSeed:
    """A shop: credentials, websites, store views, catalog, and what its staff will do."""

    consumer_key: str
    consumer_secret: str
    access_token: str
    access_token_secret: str
    websites: tuple[Website, ...]
    store_views: tuple[StoreView, ...]
    products: tuple[Product, ...]
    catalog_changes: tuple[CatalogChange, ...] = ()
    warehouse: tuple[WarehouseAction, ...] = ()
    rights: frozenset[str] | None = None  # of the integration, by Commerce's ids; None: every right
    has_stocks: bool = True  # False: without multi-source inventory, one legacy stock counts
    shares_customers: bool = False  # among websites: an e-mail address has one account in all of them
    checks_cart_limits: bool = False  # also where a salable quantity is asked for, as an extension can make it do
    save_orders_right: str = "Magento_Sales::api_actions"  # older versions: Magento_Sales::create

    def credentials(self) -> dict[str, str]:
        """The part of the extra of an Airflow connection with which the shop lets us in."""
        return {
            "auth": "oauth1",
            "consumer_key": self.consumer_key,
            "consumer_secret": self.consumer_secret,
            "access_token": self.access_token,
            "access_token_secret": self.access_token_secret,
        }


@dataclass(frozen=True)
class Scenario:
    """Everything that the two servers need for one story."""

    applications: tuple[AmazonApplication, ...]
    orders: tuple[AmazonOrderSeed, ...]
    commerce: CommerceSeed

    def without_orders(self, **shop: Any) -> Scenario:
        """The same sellers and shop (with these fields changed) without orders, and nothing happens by itself."""
        commerce = replace(self.commerce, warehouse=(), catalog_changes=(), **shop)
        return replace(self, orders=(), commerce=commerce)
