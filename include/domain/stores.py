"""Accounts and stores as `stores.yaml` describes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from include.domain.carriers import Carrier


@dataclass(frozen=True)
class FixedCustomer:
    """One customer of the shop's, who gets every order of a store."""

    email: str


@dataclass(frozen=True)
class OrderSettings:
    """How orders of one store become Commerce orders. Meaning of each key: docs/configuration.md."""

    is_import_enabled: bool = True
    import_since: datetime | None = None  # aware, UTC
    customer: Literal["guest", "new_account"] | FixedCustomer = "guest"
    order_number_source: Literal["commerce", "amazon"] = "commerce"
    order_number_prefix: str = ""
    processing_status: str | None = None
    are_amazon_fulfilled_imported: bool = True
    must_amazon_fulfilled_be_in_stock: bool = False
    amazon_fulfilled_store_view: str | None = None  # None: the store's own
    are_pending_reserved: bool = False
    is_amazon_tax_used: bool = True
    is_currency_converted: bool = False
    are_untracked_shipments_flagged: bool = False


@dataclass(frozen=True)
class Pack:
    """What one unit of an Amazon SKU is in the catalog: `units` of the product `sku`. Mostly one."""

    sku: str
    units: int = 1


@dataclass(frozen=True)
class Store:
    """One account in one marketplace, bound to one Commerce store view: the unit of settings."""

    name: str
    account_name: str
    marketplace_id: str
    commerce_connection: str
    commerce_store_view: str
    orders: OrderSettings = OrderSettings()
    sku_map: dict[str, Pack] = field(default_factory=dict, hash=False)  # by seller SKU
    carriers: dict[str, Carrier] = field(default_factory=dict, hash=False)  # its own, before those of carriers.yaml

    def fulfilled_by(self, who: str | None) -> Store:
        """The store as it is for orders that MERCHANT or AMAZON fulfills: it can have a store view for the latter."""
        view = self.orders.amazon_fulfilled_store_view
        return replace(self, commerce_store_view=view) if view and who == "AMAZON" else self


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
