"""Loads `stores.yaml` into accounts and stores, with errors that name file, line, store and key.

The models are the file's format: a field is named as in `domain/stores.py`; its alias is the key in the file where the
two differ. A new order setting is one field here and one there.
"""

from __future__ import annotations

import difflib
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from include.adapters.sku_map_file import MOST_UNITS, read_sku_map
from include.domain.errors import MisconfiguredError
from include.domain.marketplaces import MARKETPLACES, REGIONS
from include.domain.stores import Account, FixedCustomer, OrderSettings, Pack, Store, Stores

MOST_MISTAKES = 20  # that one error lists

_Place = tuple[int | str, ...]  # of a value in the file: keys and positions


# Validators raise ValueError(what is wrong with the value, what would be right).


def _either(yes: str, no: str) -> BeforeValidator:
    def is_yes(value: object) -> bool:
        if value not in (yes, no):
            raise ValueError("is not allowed here", f"use {yes} or {no}")
        return value == yes

    return BeforeValidator(is_yes)


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


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Orders(_Model):
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
    amazon_fulfilled_store_view: str | None = Field(None, pattern="^[A-Za-z0-9_]+$")
    are_pending_reserved: Annotated[bool, _either("reserve", "ignore")] = Field(False, alias="pending_orders")
    is_amazon_tax_used: Annotated[bool, _either("amazon", "none")] = Field(True, alias="tax")
    is_currency_converted: Annotated[bool, _either("convert", "block")] = Field(False, alias="currency")


class _Pack(_Model):
    sku: str = Field(min_length=1)
    units: int = Field(1, ge=1, le=MOST_UNITS, alias="quantity")


class _Store(_Model):
    name: str = Field(pattern="^.{1,80}$")
    marketplace_id: Annotated[str, AfterValidator(_marketplace)]
    commerce_connection: str = "commerce_api"
    commerce_store_view: str = Field(pattern="^[A-Za-z0-9_]+$")
    orders: _Orders = _Orders.model_validate({})
    sku_map: Annotated[
        dict[str, Annotated[_Pack, BeforeValidator(_pack)]],
        BeforeValidator(lambda value: {} if value is None else value),
    ] = {}
    sku_map_file: str | None = Field(None, min_length=1)


class _Account(_Model):
    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,30}$")
    seller_id: str = Field(pattern="^[A-Z0-9]{6,30}$")
    region: Literal["na", "eu", "fe"]
    connection: str = "amazon_sp_api"
    stores: list[_Store] = Field(min_length=1)


class _File(_Model):
    accounts: list[_Account] = Field(min_length=1)


_MODELS: dict[int, type[_Model]] = {
    0: _File,
    2: _Account,
    4: _Store,
    5: _Orders,
    6: _Pack,
}  # by how deep their keys stand
_DEEPEST = 7  # accounts, 0, stores, 0, orders, customer, fixed


def load_stores(path: str | Path) -> Stores:
    """Read and check the stores file. Raises MisconfiguredError: what is wrong, where, and what would be right."""
    document = _Document(_compose(path))
    _check_pairs(document)
    try:
        accounts = _File.model_validate(document.content).accounts
    except ValidationError as error:
        _translate(error.errors(), document)
    if document.mistakes:
        found = sorted(document.mistakes, key=lambda mistake: document.line(mistake[0]))
        lines = [f"{path}:{document.line(place)}: {document.label(place)} {text}." for place, text in found]
        if len(lines) > MOST_MISTAKES:
            lines[MOST_MISTAKES:] = [f"... and {len(lines) - MOST_MISTAKES} more."]
        raise MisconfiguredError("\n".join(lines))
    return Stores(tuple(_account(account, Path(path).parent) for account in accounts))


def _account(account: _Account, folder: Path) -> Account:
    stores = tuple(
        Store(
            **store.model_dump(exclude={"orders", "sku_map", "sku_map_file"}),
            account_name=account.name,
            orders=OrderSettings(**dict(store.orders)),
            sku_map=_sku_map(store, folder),
        )
        for store in account.stores
    )
    return Account(**dict(account) | {"stores": stores})


def _sku_map(store: _Store, folder: Path) -> dict[str, Pack]:
    """The store's own entries, which win, and those of its file, whose path is relative to that of the stores file."""
    own = {seller_sku: Pack(pack.sku, pack.units) for seller_sku, pack in store.sku_map.items()}
    return (read_sku_map(folder / store.sku_map_file, store.name) if store.sku_map_file else {}) | own


def _compose(path: str | Path) -> yaml.Node:
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or error
        remedy = "Resolution: check ORDERS_STORES_FILE, and that the file is YAML in UTF-8"
        raise MisconfiguredError(f"{where}: the stores file cannot be read ({reason}). {remedy}.") from error
    if root is None:
        raise MisconfiguredError(f"{path}: the file is empty. Resolution: list at least one account.")
    return root


class _Document:
    """The file as plain values, the YAML node and line of each, and the mistakes found so far."""

    def __init__(self, root: yaml.Node) -> None:
        self.nodes: dict[_Place, yaml.Node] = {}
        self.mistakes: list[tuple[_Place, str]] = []
        self._lines: dict[_Place, int] = {}
        self._loader = yaml.SafeLoader("")
        self.content = self._plain(root, (), root)

    def _plain(self, node: yaml.Node, place: _Place, start: yaml.Node) -> Any:
        self.nodes[place], self._lines[place] = node, start.start_mark.line + 1
        match node, node.tag:
            case _ if len(place) == _DEEPEST:
                pass  # the models refuse it, and an alias that contains itself would never end
            case yaml.MappingNode(), "tag:yaml.org,2002:map":
                return {_key(key): self._keyed(key, value, (*place, _key(key))) for key, value in node.value}
            case yaml.SequenceNode(), "tag:yaml.org,2002:seq":
                return [self._plain(child, (*place, index), child) for index, child in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError):  # a tag of its own, 30 February
            self.add(place, f"{_written(node)} cannot be read", "write plain text in quotes")

    def _keyed(self, key: yaml.Node, value: yaml.Node, place: _Place) -> Any:
        if place in self.nodes:
            self.add(place, "is there twice", "keep one of them")
        if key.tag != "tag:yaml.org,2002:str":
            self.add(place, "is a key that is not text", "put it in quotes")
        return self._plain(value, place, key)

    def add(self, place: _Place, problem: str, resolution: str) -> None:
        self.mistakes.append((place, f"{problem}{'' if problem.endswith('?') else '.'} Resolution: {resolution}"))

    def line(self, place: _Place) -> int:
        """Where the value stands with its key; if there is none, what lacks it."""
        return self._lines.get(place) or self._lines[place[:-1]]

    def text(self, *place: int | str) -> str:
        """What is written at a place, without quotes; empty if it is not a scalar."""
        node = self.nodes.get(place)
        return node.value if isinstance(node, yaml.ScalarNode) else ""

    def label(self, place: _Place) -> str:
        """The account or store that a place belongs to, and the keys from there to it."""
        match place:
            case ("accounts", int(), "stores", int(index), *keys):
                label = f"store {self.text(*place[:4], 'name') or f'#{index + 1}'}"
            case ("accounts", int(index), *keys):
                label = f"account {self.text(*place[:2], 'name') or f'#{index + 1}'}"
            case _:
                label, keys = "the file", list(place)
        return ": ".join([label, *map(str, keys)])


def _written(node: yaml.Node) -> str:
    """What the person wrote, not what YAML makes of it: off, not False."""
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return textwrap.shorten(yaml.serialize(node), 60, placeholder="...")


def _key(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else _written(node)


def _check_pairs(document: _Document) -> None:
    """Check what concerns two values: what may occur once, a marketplace's region, a prefix without effect."""
    first: dict[tuple[object, ...], _Place] = {}

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


_PROBLEMS = {  # by pydantic's type of error: what is wrong, what would be right
    "missing": ("is missing", "add it"),
    "empty": ("is empty", "give it a value, or remove it"),
    "too_short": ("is empty", "list at least one entry"),
    "string_type": ("must be text, not {written}", "write text; put numbers, dates, yes and no in quotes"),
    "string_pattern_mismatch": ("{written} is not allowed here", "use text that fits {pattern}"),
    "string_too_short": ("is empty", "give it a value, or remove it"),
    "int_type": ("must be a whole number, not {written}", "write it in digits, without quotes"),
    "greater_than_equal": ("{written} is too small", "use {ge} or more"),
    "less_than_equal": ("{written} is too large", "use {le} or less"),
    "literal_error": ("{written} is not allowed here", "use {expected}"),
    "value_error": ("{written} {error.args[0]}", "{error.args[1]}"),
    "list_type": ("must be a list, not {written}", "start each entry with a dash"),
    "dict_type": ("must be a mapping, not {written}", "write one key: value a line"),
    "model_type": ("must be a mapping, not {written}", "write one key: value a line"),
}


def _translate(errors: list[ErrorDetails], document: _Document) -> None:
    """Add pydantic's errors to the mistakes, in the words of the person who wrote the file."""
    reported = {place for place, _ in document.mistakes}
    misspelled: set[_Place] = set()
    for error in sorted(errors, key=lambda error: error["type"] != "extra_forbidden"):
        place, kind = error["loc"], error["type"]
        if place in reported or (kind == "missing" and place in misspelled):
            continue
        if kind == "extra_forbidden":
            fields = _MODELS[len(place) - 1].model_fields
            known = [field.alias or name for name, field in fields.items()]
            close = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.65)
            misspelled |= {(*place[:-1], key) for key in close}
            hint = f"; did you mean {close[0]}?" if close else ""
            document.add(place, f"is not a known key{hint}", f"correct or remove it (known keys: {', '.join(known)})")
            continue
        words = {"written": _written(document.nodes[place]) if place in document.nodes else "", **error.get("ctx", {})}
        kind = "empty" if error["input"] is None and kind != "missing" else kind
        problem, resolution = _PROBLEMS.get(kind, ("{written} is not allowed here", "correct it"))
        document.add(place, problem.format(**words), resolution.format(**words))
