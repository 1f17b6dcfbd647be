"""Loads `stores.yaml` into accounts and stores, with errors that name file, line, store and key.

The models are the file's format: a field is named as in `domain/stores.py`; its alias is the key in the file where the
two differ. A new order setting is one field here and one there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from include.adapters.carriers_file import CarrierEntries, CarrierEntry, carriers_of, check_patterns
from include.adapters.sku_map_file import MOST_UNITS, read_sku_map
from include.adapters.yaml_file import Document, Model, Place, compose, translate
from include.domain.marketplaces import MARKETPLACES, REGIONS
from include.domain.stores import Account, FixedCustomer, OrderSettings, Pack, Store, Stores

# Validators raise ValueError(what is wrong with the value, what would be right).


def _either(yes: str, no: str) -> BeforeValidator:
    def is_yes(value: object) -> bool:
        if value not in (yes, no):
            raise ValueError("is not allowed here", f"use {yes} or {no}")
        return value == yes

    return BeforeValidator(is_yes)


def _no_feed(value: object) -> object:
    if value == "confirm_without":
        raise ValueError(
            "is not possible yet: Amazon takes a shipment without a number only in a feed, which is not built",
            "use wait or flag",
        )
    return value


def _moment(value: object) -> datetime | None:
    problem = "has no time zone"
    try:
        moment = None if value is None else datetime.fromisoformat(str(value))
        if moment is None or moment.tzinfo:
            return moment and moment.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = "is not a time"
    raise ValueError(problem, 'use ISO 8601 with a zone, e.g. "2026-01-31T00:00:00Z"')


def _customer(value: object) -> object:
    match value:
        case "guest" | "new_account":
            return value
        case {"fixed": str(email), **others} if "@" in email and not others:
            return FixedCustomer(email)
    raise ValueError("is not allowed here", "use guest, new_account, or {fixed: someone@example.com}")


def _pack(value: object) -> object:
    match value:
        case str():
            return {"sku": value}
        case {**keys}:
            return keys
    raise ValueError("is no SKU", "write the catalog SKU, in quotes where it looks like a number, or {sku, quantity}")


def _marketplace(value: str) -> str:
    if value not in MARKETPLACES:
        raise ValueError("is not a marketplace of Amazon", "see docs/configuration.md for the list")
    return value


class _Orders(Model):
    is_import_enabled: Annotated[bool, _either("enabled", "disabled")] = Field(True, alias="import")
    import_since: Annotated[datetime | None, BeforeValidator(_moment)] = None
    customer: Annotated[Literal["guest", "new_account"] | FixedCustomer, BeforeValidator(_customer)] = "guest"
    order_number_source: Literal["commerce", "amazon"] = "commerce"
    order_number_prefix: str = Field("", pattern="^[A-Za-z0-9_-]{0,13}$")
    processing_status: str | None = Field(None, pattern="^[a-z0-9_]{1,32}$")
    are_amazon_fulfilled_imported: Annotated[bool, _either("import", "ignore")] = Field(True, alias="amazon_fulfilled")
    must_amazon_fulfilled_be_in_stock: Annotated[bool, _either("in_stock", "any")] = Field(
        False, alias="amazon_fulfilled_stock"
    )
    are_untracked_shipments_flagged: Annotated[bool, _either("flag", "wait"), BeforeValidator(_no_feed)] = Field(
        False, alias="shipments_without_tracking"
    )
    amazon_fulfilled_store_view: str | None = Field(None, pattern="^[A-Za-z0-9_]+$")
    are_pending_reserved: Annotated[bool, _either("reserve", "ignore")] = Field(False, alias="pending_orders")
    is_amazon_tax_used: Annotated[bool, _either("amazon", "none")] = Field(True, alias="tax")
    is_currency_converted: Annotated[bool, _either("convert", "block")] = Field(False, alias="currency")


class _Pack(Model):
    sku: str = Field(min_length=1)
    units: int = Field(1, ge=1, le=MOST_UNITS, alias="quantity")


class _Store(Model):
    name: str = Field(pattern="^.{1,80}$")
    marketplace_id: Annotated[str, AfterValidator(_marketplace)]
    commerce_connection: str = "commerce_api"
    commerce_store_view: str = Field(pattern="^[A-Za-z0-9_]+$")
    orders: _Orders = _Orders.model_validate({})
    sku_map: Annotated[
        dict[str, Annotated[_Pack, BeforeValidator(_pack)]],
        BeforeValidator(lambda value: {} if value is None else value),
    ] = Field(default_factory=dict)
    sku_map_file: str | None = Field(None, min_length=1)
    carriers: CarrierEntries = Field(default_factory=dict)


class _Account(Model):
    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,30}$")
    seller_id: str = Field(pattern="^[A-Z0-9]{6,30}$")
    region: Literal["na", "eu", "fe"]
    connection: str = "amazon_sp_api"
    stores: list[_Store] = Field(min_length=1)


class _File(Model):
    accounts: list[_Account] = Field(min_length=1)


_MODELS: dict[int, type[Model]] = {0: _File, 2: _Account, 4: _Store}  # by how deep their keys stand
# By the key that leads to them.
_MODELS_OF_STORE: dict[str, type[Model]] = {"orders": _Orders, "sku_map": _Pack, "carriers": CarrierEntry}
_DEEPEST = 7  # accounts, 0, stores, 0, orders, customer, fixed


def _model_at(place: Place) -> type[Model]:
    return _MODELS.get(len(place) - 1) or _MODELS_OF_STORE[str(place[4])]


def load_stores(path: str | Path) -> Stores:
    """Read and check the stores file. Raises MisconfiguredError: what is wrong, where, and what would be right."""
    document = Document(compose(path, "stores file", "ORDERS_STORES_FILE", "list at least one account"), _DEEPEST)
    _check_pairs(document)
    for place in [place for place in document.nodes if place[4:] == ("carriers",)]:
        check_patterns(document, place)
    try:
        accounts = _File.model_validate(document.content).accounts
    except ValidationError as error:
        translate(error.errors(), document, _model_at)
    document.raise_mistakes(path)
    return Stores(tuple(_account(account, Path(path).parent) for account in accounts))


def _account(account: _Account, folder: Path) -> Account:
    stores = tuple(
        Store(
            **store.model_dump(exclude={"orders", "sku_map", "sku_map_file", "carriers"}),
            account_name=account.name,
            orders=OrderSettings(**dict(store.orders)),
            sku_map=_sku_map(store, folder),
            carriers=carriers_of(store.carriers),
        )
        for store in account.stores
    )
    return Account(**dict(account) | {"stores": stores})


def _sku_map(store: _Store, folder: Path) -> dict[str, Pack]:
    """The store's own entries, which win, and those of its file, whose path is relative to that of the stores file."""
    own = {seller_sku: Pack(pack.sku, pack.units) for seller_sku, pack in store.sku_map.items()}
    return (read_sku_map(folder / store.sku_map_file, store.name) if store.sku_map_file else {}) | own


def _check_pairs(document: Document) -> None:
    """Check what concerns two values: what may occur once, a marketplace's region, a prefix without effect."""
    first: dict[tuple[object, ...], Place] = {}

    def once(remedy: str, *identity: object) -> None:
        other = first.setdefault(identity, place)
        if other != place and all(identity):
            same = f"{document.label(other[:-1])}, line {document.line(other)}"
            document.add(place, f"{value!r} is the same as in {same}", remedy)

    for place in document.nodes:
        value, region = document.text(*place), document.text(*place[:2], "region")
        match place:
            case ("accounts", int(), "name"):
                once("give each account a name of its own", "account", value)
            case ("accounts", int(), "seller_id"):
                once("list all stores of a seller in a region under one account", region, value)
            case ("accounts", int(), "stores", int(), "name"):
                once("give each store a name of its own", "store", value)
            case ("accounts", int(), "stores", int(), "marketplace_id"):
                once("keep one store for each marketplace of an account", place[:2], value)
                known = MARKETPLACES.get(value)
                if known and region in REGIONS and known.region != region:
                    theirs = f"({known.country_code}) belongs to region {known.region}, the account to {region}"
                    document.add(place, f"{value!r} {theirs}", "list the store under an account of its region")
            case (*orders, "order_number_prefix") if value:
                # An error, not a warning: the numbers of orders created until the log is read cannot be changed.
                if document.text(*orders, "order_number_source") in ("", "commerce"):
                    problem = f"{value!r} has no effect while order_number_source is commerce"
                    document.add(place, problem, "set order_number_source: amazon, or remove the prefix")
