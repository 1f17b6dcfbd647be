"""Amazon's order document split into what may lie in clear and what may not, and what in it our contract lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from include.adapters.amazon.contract import Node, check, contract, is_whole, malformed, parse_moment
from include.adapters.canonical_json import sha256_of
from include.domain.errors import MalformedOrderError

_CODE = re.compile(r"[A-Z0-9_]{1,60}")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_SURROGATES = re.compile("[\ud800-\udfff]")


# Titles and notes; no index holds them.
_LONGEST_TEXT = 10_000
# Of an order's parts of one kind; the columns take 16 digits before the point.
_LARGEST_SUM = Decimal(10) ** 15
_MOST_FINDINGS = 50


class _NotStorable(ValueError):
    """The value at this path fits no column: NUL, a lone surrogate, a book of text, an absurd number or sum."""


@dataclass(frozen=True)
class LandedOrder:
    """One order document, split. `last_updated_at` is UTC.

    `payload` holds what the contract knows and does not call personal. `contact` holds the rest at the same paths,
    except that a list of which only parts are personal is a dict by the elements' ids (orderItemId,
    packageReferenceId) or positions. `findings` name unknown fields (`path`) and new codes (`path=CODE`).
    """

    amazon_order_id: str
    last_updated_at: datetime
    payload: dict[str, Any] = field(repr=False)
    contact: dict[str, Any] = field(repr=False)
    findings: list[str]
    payload_sha256: str


def split_order(document: Any) -> LandedOrder:
    """Check one order of Amazon's answer (numbers without floats) against the contract and split it by allow-list.

    A null counts as an absent field, and 1.0 as 1. The result shares parts with `document`; change neither. Raises
    MalformedOrderError, without values.
    """
    try:
        check(document)
    except MalformedOrderError:
        document = _tolerated(document, contract())
        check(document)
    items = [item["orderItemId"] for item in document["orderItems"]]
    if len(set(items)) < len(items):
        raise malformed(document, "orderItems[].orderItemId: unique")
    findings: set[str] = set()
    try:
        payload, contact = _split(document, contract(), "", findings)
        _check_sums(payload)
    except _NotStorable as error:
        raise malformed(document, str(error)) from None
    return LandedOrder(
        amazon_order_id=document["orderId"],
        last_updated_at=parse_moment(document["lastUpdatedTime"]),
        payload=payload,
        contact=contact,
        findings=sorted(findings)[:_MOST_FINDINGS],
        payload_sha256=sha256_of(payload),
    )


def versions_sha256(documents: list[Any]) -> str:
    """SHA-256 (hex) of the ids and versions of a page's orders, malformed ones included: tells pages apart."""
    return sha256_of(
        [[each.get("orderId"), each.get("lastUpdatedTime")] if isinstance(each, dict) else None for each in documents]
    )


def _split(value: dict[str, Any], node: Node, path: str, findings: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    payload: dict[str, Any] = {}
    contact: dict[str, Any] = {}
    for name, part in value.items():
        child = node["properties"].get(name)
        where = f"{path}.{name}" if path else name
        if child is None:
            contact[name] = part
            findings.add(_unknown(path, name))
        elif child.get("x-personal"):
            contact[name] = part
            _find_unknown(part, child, where, findings)
        elif child["type"] == "object":
            payload[name], personal = _split(part, child, where, findings)
            if personal:
                contact[name] = personal
        elif child["type"] == "array":
            payload[name], personal = _split_list(part, child, where + "[]", findings)
            if personal:
                contact[name] = personal
        else:
            payload[name] = _leaf(part, child, where, findings)
    return payload, contact


def _split_list(value: list[Any], node: Node, path: str, findings: set[str]) -> tuple[list[Any], dict[str, Any]]:
    child = node["items"]
    if child["type"] != "object":
        return [_leaf(part, child, path, findings) for part in value], {}
    payload = []
    contact = {}
    for label, part in zip(_labels(value, node.get("x-key")), value, strict=True):
        clear, personal = _split(part, child, path, findings)
        payload.append(clear)
        if personal:
            contact[label] = personal
    return payload, contact


def _labels(elements: list[Any], key: str | None) -> list[str]:
    """Ids of a list's elements, if all have one and they differ; positions otherwise."""
    ids = [element.get(key) for element in elements]
    if None in ids or len(set(ids)) < len(ids):
        return [str(position) for position in range(len(elements))]
    return ids


def _leaf(value: Any, node: Node, path: str, findings: set[str]) -> Any:
    if isinstance(value, str):
        if "\x00" in value or (not value.isascii() and _SURROGATES.search(value)):
            raise _NotStorable(f"{path}: characters or digits")
        if len(value) > _LONGEST_TEXT:
            raise _NotStorable(f"{path}: maxLength")
    elif isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        if len(digits) > 60 or exponent not in range(-30, 31):
            raise _NotStorable(f"{path}: characters or digits")
    elif isinstance(value, int) and abs(value) >= 10**60:
        raise _NotStorable(f"{path}: characters or digits")
    known = node.get("x-known-values")
    if known is not None and value not in known and _CODE.fullmatch(value):
        findings.add(f"{path}={value}")
    return value


def _check_sums(payload: dict[str, Any]) -> None:
    """The sums that staging makes of the order's money must fit their columns."""
    items = payload["orderItems"]
    totals = [item.get("proceeds", {}).get("proceedsTotal") for item in items]
    sums = [("orderItems[].proceeds.proceedsTotal", totals), ("proceeds.breakdowns[]", _subtotals(payload))]
    sums += [("orderItems[].proceeds.breakdowns[]", _subtotals(item)) for item in items]
    for path, amounts in sums:
        if sum(abs(Decimal(amount["amount"])) for amount in amounts if amount) >= _LARGEST_SUM:
            raise _NotStorable(f"{path}: sum")


def _subtotals(part: dict[str, Any]) -> list[dict[str, Any] | None]:
    return [entry.get("subtotal") for entry in part.get("proceeds", {}).get("breakdowns", [])]


def _find_unknown(value: Any, node: Node, path: str, findings: set[str]) -> None:
    """Name the unknown fields inside a personal subtree, never its values."""
    if node["type"] == "object":
        for name, part in value.items():
            child = node["properties"].get(name)
            if child is None:
                findings.add(_unknown(path, name))
            else:
                _find_unknown(part, child, f"{path}.{name}", findings)
    elif node["type"] == "array":
        for part in value:
            _find_unknown(part, node["items"], path + "[]", findings)


def _unknown(path: str, name: str) -> str:
    # A name that is not a plain field name could be a person's, as the key of a map.
    shown = name if _FIELD_NAME.fullmatch(name) else "?"
    return f"{path}.{shown}" if path else shown


def _tolerated(value: Any, node: Node) -> Any:
    """The same without nulls, and with whole numbers as such: Amazon may write 1 as 1.0."""
    if node["type"] == "object" and isinstance(value, dict):
        properties = node["properties"]
        return {
            name: _tolerated(part, properties[name]) if name in properties else part
            for name, part in value.items()
            if part is not None or name not in properties
        }
    if node["type"] == "array" and isinstance(value, list):
        return [_tolerated(part, node["items"]) for part in value]
    if node["type"] == "integer" and isinstance(value, Decimal) and is_whole(value):
        return int(value)
    return value
