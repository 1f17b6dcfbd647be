"""Amazon's personal part of an order: merged version by version, and read into our words."""

from __future__ import annotations

from typing import Any

from include.adapters.amazon.contract import Node, contract


def merge_contact(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The contact of an order of which `new` is the newer version: the newer wins field by field.

    What the newer lacks is kept: Amazon withholds phone and address some time after delivery. An address that
    contradicts the older one replaces it whole, so that no parcel goes to a mixture of two.
    """
    merged: dict[str, Any] = _merge(old, new, contract())
    return merged


def _merge(old: Any, new: Any, node: Node | None) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old if _is_blank(new) else new
    node = node or {}
    if node.get("x-together") and _contradict(old, new):
        return new
    merged = dict(old)
    for name, part in new.items():
        child = node["items"] if "items" in node else node.get("properties", {}).get(name)
        merged[name] = _merge(old[name], part, child) if name in old else part
    return merged


def _contradict(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return any(_contradict(old[name], new[name]) for name in old.keys() & new.keys())
    return bool(not _is_blank(old) and not _is_blank(new) and old != new)


def _is_blank(value: Any) -> bool:
    return value is None or value in ("", [], {})
