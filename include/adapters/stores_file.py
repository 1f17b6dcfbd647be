"""Loads `stores.yaml` into accounts and stores, with an error that names file, line, store and key."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from include.domain.errors import MisconfiguredError
from include.domain.marketplaces import MARKETPLACES, REGIONS
from include.domain.stores import Account, OrderSettings, Store, Stores

_Seen = dict[tuple[str, ...], str]  # what must be unique -> who has it


def load_stores(path: str | Path) -> Stores:
    """Read and check the stores file. Raises MisconfiguredError: what is wrong, where, and what would be right."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise MisconfiguredError(
            f"The stores file {path} cannot be read ({error.strerror}). Resolution: check ORDERS_STORES_FILE."
        ) from error
    except UnicodeDecodeError as error:
        raise MisconfiguredError(f"The stores file {path} is not text. Resolution: save it as UTF-8.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise MisconfiguredError(f"The stores file {path} is not YAML: {error}") from error
    if root is None:
        raise MisconfiguredError(f"{path}: the file is empty. Resolution: list at least one account.")
    top = _Mapping(root, str(path), "the file")
    seen: _Seen = {}
    accounts = tuple(
        _account(node, seen) for node in top.sequence("accounts", lambda n: _Mapping(n, str(path), "an account"))
    )
    top.end()
    if not accounts:
        raise top.error("accounts", "is empty", "list at least one account")
    return Stores(accounts)


def _once(seen: _Seen, node: _Mapping, key: str, *identity: str) -> None:
    """Remember who has this identity. Raises MisconfiguredError, at the second one's line, when somebody has."""
    if (key, *identity) in seen:
        raise node.error(key, f"is the same as in {seen[key, *identity]} ({', '.join(identity)})", "keep one of them")
    seen[key, *identity] = node.label


def _account(node: _Mapping, seen: _Seen) -> Account:
    name = node.text("name", pattern=r"[a-z0-9][a-z0-9-]{0,30}")
    node.label = f"account {name}"
    _once(seen, node, "name", "account", name)
    region = node.choice("region", REGIONS)
    seller_id = node.text("seller_id", pattern=r"[A-Z0-9]{6,30}")
    _once(seen, node, "seller_id", seller_id, region)
    account = Account(
        name=name,
        seller_id=seller_id,
        region=region,
        connection=node.text("connection", "amazon_sp_api"),
        stores=tuple(_store(child, name, region, seen) for child in node.sequence("stores", node.child)),
    )
    if not account.stores:
        raise node.error("stores", "is empty", "list at least one store")
    node.end()
    return account


def _store(node: _Mapping, account_name: str, region: str, seen: _Seen) -> Store:
    name = node.text("name", pattern=r".{1,80}")
    node.label = f"store {name}"
    _once(seen, node, "name", "store", name)
    marketplace_id = node.text("marketplace_id")
    marketplace = MARKETPLACES.get(marketplace_id)
    if marketplace is None:
        raise node.error(
            "marketplace_id",
            f"{marketplace_id!r} is not a marketplace of Amazon",
            "see docs/configuration.md for the list",
        )
    if marketplace.region != region:
        raise node.error(
            "marketplace_id",
            f"{marketplace_id!r} ({marketplace.country_code}) belongs to region {marketplace.region}, "
            f"the account to {region}",
            "list the store under an account of its region",
        )
    _once(seen, node, "marketplace_id", account_name, marketplace_id)
    store = Store(
        name=name,
        account_name=account_name,
        marketplace_id=marketplace_id,
        commerce_connection=node.text("commerce_connection", "commerce_api"),
        commerce_store_view=node.text("commerce_store_view", pattern=r"[A-Za-z0-9_]+"),
        orders=_order_settings(node.mapping("orders")),
        sku_map=node.text_map("sku_map"),
    )
    node.end()
    return store


def _order_settings(node: _Mapping) -> OrderSettings:
    settings = OrderSettings(
        is_import_enabled=node.choice("import", ("enabled", "disabled"), "enabled") == "enabled",
        import_since=node.moment("import_since"),
        fixed_customer_email=_customer(node),
        order_number_source=node.choice("order_number_source", ("commerce", "amazon"), "commerce"),  # type: ignore[arg-type]
        order_number_prefix=node.text("order_number_prefix", "", pattern=r"[A-Za-z0-9_-]{0,13}"),
        processing_status=node.text("processing_status", None, pattern=r"[a-z0-9_]{1,32}"),
        are_amazon_fulfilled_imported=node.choice("amazon_fulfilled", ("import", "ignore"), "import") == "import",
        must_amazon_fulfilled_be_in_stock=node.choice("amazon_fulfilled_stock", ("any", "in_stock"), "any")
        == "in_stock",
        is_amazon_tax_used=node.choice("tax", ("amazon", "none"), "amazon") == "amazon",
    )
    node.end()
    return settings


def _customer(node: _Mapping) -> str | None:
    value = node.value("customer", "guest")
    if value == "guest":
        return None
    if isinstance(value, dict) and list(value) == ["fixed"] and "@" in str(value["fixed"]):
        return str(value["fixed"])
    if value == "new_account":
        raise node.error(
            "customer",
            "new_account is not supported yet: Commerce mails each new account, and Amazon forbids shop mails",
            "use guest, or {fixed: someone@example.com}",
        )
    raise node.error("customer", f"{value!r} is unknown", "use guest, or {fixed: someone@example.com}")


class _Mapping:
    """One YAML mapping: hands out its values checked, and complains about keys that nobody asked for."""

    _REQUIRED: Any = object()

    def __init__(self, node: yaml.Node | None, path: str, label: str) -> None:
        if node is not None and not isinstance(node, yaml.MappingNode):
            raise MisconfiguredError(f"{path}:{node.start_mark.line + 1}: {label} must be a mapping of keys to values.")
        self._path = path
        self.label = label
        self._line = node.start_mark.line + 1 if node else 0
        self._nodes: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value if node else []:
            if not isinstance(key_node, yaml.ScalarNode):
                raise MisconfiguredError(f"{path}:{key_node.start_mark.line + 1}: {label} has a key that is not text.")
            if key_node.value in self._nodes:
                raise MisconfiguredError(
                    f"{path}:{key_node.start_mark.line + 1}: {label} has the key {key_node.value!r} twice."
                )
            self._nodes[key_node.value] = value_node
        self._left = set(self._nodes)

    def error(self, key: str, problem: str, remedy: str) -> MisconfiguredError:
        line = self._nodes[key].start_mark.line + 1 if key in self._nodes else self._line
        return MisconfiguredError(f"{self._path}:{line}: {self.label}: {key} {problem}. Resolution: {remedy}.")

    def value(self, key: str, default: Any = _REQUIRED) -> Any:
        self._left.discard(key)
        node = self._nodes.get(key)
        if node is None:
            if default is self._REQUIRED:
                raise self.error(key, "is missing", f"add {key}")
            return default
        constructor = yaml.SafeLoader("")
        try:
            return constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, TypeError) as error:  # a tag of its own, 30 February, a list as a key
            raise self.error(key, "has a value that YAML cannot read", "write plain text in quotes") from error
        finally:
            constructor.dispose()

    def text(self, key: str, default: Any = _REQUIRED, pattern: str | None = None) -> Any:
        value = self.value(key, default)
        if value is default:
            return value
        if value is None and default is None:
            return None
        if not isinstance(value, str):
            raise self.error(key, f"must be text, not {value!r}", "put it in quotes")
        if pattern and not re.fullmatch(pattern, value):
            raise self.error(key, f"{value!r} is not allowed here", f"use text that fits {pattern}")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: Any = _REQUIRED) -> str:
        value = self.value(key, default)
        if value not in allowed:
            raise self.error(key, f"{value!r} is unknown", f"use one of {', '.join(allowed)}")
        return str(value)

    def moment(self, key: str) -> datetime | None:
        value = self.value(key, None)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise self.error(
                    key, f"{value!r} is not a time", 'use ISO 8601 with a zone, e.g. "2026-01-31T00:00:00Z"'
                ) from None
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self.error(
                key, f"{value!s} has no time zone", 'use ISO 8601 with a zone, e.g. "2026-01-31T00:00:00Z"'
            )
        return value.astimezone(UTC)

    def text_map(self, key: str) -> dict[str, str]:
        value = self.value(key, {}) or {}
        if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
            raise self.error(key, "must map text to text", "put numbers in quotes")
        return value

    def mapping(self, key: str) -> _Mapping:
        self._left.discard(key)
        node = self._nodes.get(key)
        return _Mapping(node, self._path, f"{self.label}: {key}")

    def child(self, node: yaml.Node) -> _Mapping:
        return _Mapping(node, self._path, f"{self.label}: an entry")

    def sequence(self, key: str, make: Callable[[yaml.Node], _Mapping]) -> list[_Mapping]:
        self._left.discard(key)
        node = self._nodes.get(key)
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(key, "is missing or not a list", f"write {key}: followed by a list")
        return [make(child) for child in node.value]

    def end(self) -> None:
        """Every key has been asked for; what is left is a mistake of the person who wrote the file."""
        if self._left:
            key = sorted(self._left)[0]
            known = ", ".join(sorted(set(self._nodes) - self._left)) or "none"
            raise self.error(
                key, "is not a key that we know", f"remove or correct it (known keys in use here: {known})"
            )
