"""Accounts and stores as `stores.yaml` describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class OrderSettings:
    """How orders of one store become Commerce orders. Meaning of each key: docs/configuration.md."""

    is_import_enabled: bool = True
    import_since: datetime | None = None  # aware, UTC
    fixed_customer_email: str | None = None  # None: guest orders
    order_number_source: Literal["commerce", "amazon"] = "commerce"
    order_number_prefix: str = ""
    processing_status: str | None = None
    are_amazon_fulfilled_imported: bool = True
    must_amazon_fulfilled_be_in_stock: bool = False
    is_amazon_tax_used: bool = True
    is_currency_converted: bool = False


@dataclass(frozen=True)
class Store:
    """One account in one marketplace, bound to one Commerce store view: the unit of settings."""

    name: str
    account_name: str
    marketplace_id: str
    commerce_connection: str
    commerce_store_view: str
    orders: OrderSettings = OrderSettings()
    sku_map: dict[str, str] = field(default_factory=dict, hash=False)

    def catalog_sku(self, seller_sku: str) -> str:
        """The catalog SKU that this store sells under Amazon's `seller_sku`; the same text when it is not mapped."""
        return self.sku_map.get(seller_sku, seller_sku)


@dataclass(frozen=True)
class Account:
    """One seller in one Amazon region: the unit of polling and of rate limits."""

    name: str
    seller_id: str
    region: str
    connection: str
    stores: tuple[Store, ...]


@dataclass(frozen=True)
class Stores:
    """All connected accounts with their stores."""

    accounts: tuple[Account, ...]

    def account(self, name: str) -> Account:
        """The account of that name. Raises KeyError if there is none."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise KeyError(name)

    def all(self) -> tuple[Store, ...]:
        """Every store of every account, in the file's order."""
        return tuple(store for account in self.accounts for store in account.stores)
