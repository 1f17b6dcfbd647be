"""Reads Amazon's answer about one order into our words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from include.adapters.amazon.contract import is_whole
from include.domain.amazon_packages import AmazonOrderState, AmazonPackage

# includedData of getOrder and searchOrders: what `read_order_state` reads, and nothing personal.
ORDER_STATE_DATA = ("FULFILLMENT", "PACKAGES")


def read_order_state(document: Any) -> AmazonOrderState:
    """The order of getOrder's answer, or one of searchOrders'.

    Raises KeyError, TypeError, ValueError or AttributeError for anything else.
    """
    fulfillment = document.get("fulfillment") or {}
    return AmazonOrderState(
        amazon_order_id=_text(document["orderId"]),
        amazon_status=_text(fulfillment.get("fulfillmentStatus") or "UNKNOWN"),
        packages=tuple(_package(package) for package in document.get("packages") or []),
        left=dict(_left(document.get("orderItems") or [])),
    )


def order_states(documents: Sequence[Any]) -> list[AmazonOrderState]:
    """The orders of a page of searchOrders; one that cannot be read is left out."""
    states = []
    for document in documents:
        try:
            states.append(read_order_state(document))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return states


def _left(items: Any) -> Iterator[tuple[str, int]]:
    for item in items:
        count = (item.get("fulfillment") or {}).get("quantityUnfulfilled")
        if count is not None:
            yield _text(item["orderItemId"]), _count(count)


def _package(document: Any) -> AmazonPackage:
    units: Counter[str] = Counter()
    for item in document.get("packageItems") or []:
        units[_text(item["orderItemId"])] += _count(item["quantity"])
    tracking_number, carrier = document.get("trackingNumber"), document.get("carrier")
    return AmazonPackage(
        package_reference_id=_text(document["packageReferenceId"]),
        tracking_number=None if tracking_number is None else _text(tracking_number),
        carrier=None if carrier is None else _text(carrier),
        units=dict(units),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _count(value: Any) -> int:
    if isinstance(value, Decimal) and is_whole(value):
        return int(value)
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value
