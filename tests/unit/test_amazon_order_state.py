"""What Amazon's answer about one order becomes in our words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.adapters.amazon.order_state import read_order_state
from include.domain.amazon_packages import AmazonOrderState, AmazonPackage

PACKAGE = {
    "packageReferenceId": "1",
    "packageStatus": {"status": "SHIPPED"},
    "carrier": "UPS",
    "trackingNumber": "1Z999",
    "packageItems": [
        {"orderItemId": "a", "quantity": 1},
        {"orderItemId": "b", "quantity": 2},
        {"orderItemId": "a", "quantity": 3},
    ],
}


def test_order_state_holds_packages_in_our_words_when_amazon_shows_them() -> None:
    document = {"orderId": "111", "fulfillment": {"fulfillmentStatus": "SHIPPED"}, "packages": [PACKAGE]}
    package = AmazonPackage("1", "1Z999", "UPS", {"a": 4, "b": 2})
    assert read_order_state(document) == AmazonOrderState("111", "SHIPPED", (package,))


@pytest.mark.parametrize(
    "document",
    [{"orderId": "111"}, {"orderId": "111", "fulfillment": None, "packages": None}, {"orderId": "111", "x": 1}],
)
def test_order_state_is_unknown_and_empty_when_amazon_shows_nothing(document: dict[str, Any]) -> None:
    assert read_order_state(document) == AmazonOrderState("111")


def test_package_has_no_units_and_no_carrier_when_amazon_lists_none() -> None:
    document = {"orderId": "111", "packages": [{"packageReferenceId": "1", "packageItems": None}]}
    assert read_order_state(document).packages == (AmazonPackage("1"),)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"orderId": 111},
        {"orderId": "111", "fulfillment": "SHIPPED"},
        {"orderId": "111", "fulfillment": {"fulfillmentStatus": 7}},
        {"orderId": "111", "packages": {"1": {}}},
        {"orderId": "111", "packages": [{}]},
        {"orderId": "111", "packages": [PACKAGE | {"trackingNumber": 7}]},
        {
            "orderId": "111",
            "packages": [PACKAGE | {"packageItems": [{"orderItemId": "a", "quantity": Decimal("0.5")}]}],
        },
        {"orderId": "111", "packages": [PACKAGE | {"packageItems": [{"orderItemId": "a", "quantity": True}]}]},
    ],
)
def test_order_state_is_refused_when_the_document_is_no_order(document: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        read_order_state(document)
