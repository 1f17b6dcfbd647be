"""The rules of confirmShipment: an order and a request body come in, the change of the order goes out.

Rules: ordersV0.json (ConfirmShipmentRequest) and https://developer-docs.amazon.com/sp-api/docs/confirm-the-shipment-status.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from local.sandbox.amazon.errors import Refusal, invalid
from local.sandbox.amazon.search import format_time

_JAPAN = "A1VC38T7YXB528"


def shipment_patch(document: dict[str, Any], body: Any, now: datetime) -> dict[str, Any]:
    """The change that a confirmShipment `body` makes to `document` at `now`. Raises Refusal (400).

    If a package with this `packageReferenceId` exists, it is replaced. Each line gets its new fulfilled quantity, and
    the order its new status.
    """
    _check_body(body)
    _check_order(document, body)
    detail = body["packageDetail"]
    reference = detail["packageReferenceId"]
    packages: list[dict[str, Any]] = document.get("packages", [])
    before = next((package for package in packages if package["packageReferenceId"] == reference), None)
    if before is None and document["fulfillment"]["fulfillmentStatus"] == "SHIPPED":
        raise Refusal(
            400,
            "InvalidInput",
            f"GeneralError: PackageToUpdateNotFound. The order is already fulfilled and has no package {reference}.",
        )
    items = _new_item_quantities(document, detail["orderItems"], before)
    package = _package(detail, before, now)
    shipped = sum(item["fulfillment"]["quantityFulfilled"] for item in items)
    unshipped = sum(item["fulfillment"]["quantityUnfulfilled"] for item in items)
    status = "SHIPPED" if unshipped == 0 else "PARTIALLY_SHIPPED" if shipped else "UNSHIPPED"
    return {
        "packages": [old for old in packages if old is not before] + [package],
        "orderItems": items,
        "fulfillment": {"fulfillmentStatus": status},
    }


def _check_body(body: Any) -> None:
    if not isinstance(body, dict) or not _is_text(body.get("marketplaceId")):
        raise invalid("marketplaceId is required.")
    detail = body.get("packageDetail")
    if not isinstance(detail, dict):
        raise invalid("packageDetail is required.")
    reference = detail.get("packageReferenceId")
    if not isinstance(reference, str) or not re.fullmatch(r"0*[1-9][0-9]*", reference, re.ASCII):
        raise invalid("packageReferenceId must be a string that holds a positive number.")
    for name in ("carrierCode", "trackingNumber", "shipDate"):
        if not _is_text(detail.get(name)):
            raise invalid(f"{name} is required.")
    if detail["carrierCode"] == "Other" and not _is_text(detail.get("carrierName")):
        raise invalid("carrierName is required when carrierCode is Other.")
    try:
        has_zone = datetime.fromisoformat(detail["shipDate"]).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise invalid("shipDate must be an ISO 8601 date and time with its zone.")
    items = detail.get("orderItems")
    if not isinstance(items, list) or not items:
        # Amazon sends the same error for a single object instead of a list.
        raise invalid("OrderItemId is invalid: orderItems must be a list of order items.")
    for item in items:
        if not isinstance(item, dict) or not _is_text(item.get("orderItemId")):
            raise invalid("OrderItemId is invalid.")
        quantity = item.get("quantity")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
            raise invalid("quantity must be a positive whole number.")


def _check_order(document: dict[str, Any], body: dict[str, Any]) -> None:
    marketplace_id = document["salesChannel"].get("marketplaceId")
    if body["marketplaceId"] != marketplace_id:
        raise invalid("marketplaceId is not the marketplace of the order.")
    method = body.get("codCollectionMethod")
    if method is not None and (method != "DirectPayment" or marketplace_id != _JAPAN):
        raise invalid("codCollectionMethod must be DirectPayment, and only in Japan.")
    fulfillment = document["fulfillment"]
    if fulfillment.get("fulfilledBy") != "MERCHANT":
        raise invalid("The order is not fulfilled by the merchant.")
    if "FBM_SHIP_PLUS" in document.get("programs", []):
        raise invalid("Orders of the program FBM_SHIP_PLUS cannot be confirmed.")
    if fulfillment["fulfillmentStatus"] not in ("UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"):
        raise invalid(f"The order is {fulfillment['fulfillmentStatus']} and cannot be confirmed.")


def _new_item_quantities(
    document: dict[str, Any], sent: list[dict[str, Any]], before: dict[str, Any] | None
) -> list[dict[str, Any]]:
    shipped_now = _quantities(sent)
    shipped_before = _quantities(before["packageItems"]) if before else {}
    known = {item["orderItemId"] for item in document["orderItems"]}
    if not set(shipped_now) <= known:
        raise invalid("OrderItemId is invalid: the order has no such item.")
    items = []
    for item in document["orderItems"]:
        item_id, ordered = item["orderItemId"], item["quantityOrdered"]
        fulfilled = item.get("fulfillment", {}).get("quantityFulfilled", 0)
        if "cancellationExecution" in item.get("cancellation", {}):
            ordered = fulfilled + item["fulfillment"].get("quantityUnfulfilled", 0)
        fulfilled += shipped_now.get(item_id, 0) - shipped_before.get(item_id, 0)
        if fulfilled > ordered:
            raise invalid(f"quantity of order item {item_id} is more than what is left to ship.")
        quantities = {"quantityFulfilled": fulfilled, "quantityUnfulfilled": ordered - fulfilled}
        items.append({"orderItemId": item_id, "fulfillment": quantities})
    return items


def _quantities(items: list[dict[str, Any]]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for item in items:
        quantities[item["orderItemId"]] = quantities.get(item["orderItemId"], 0) + item["quantity"]
    return quantities


def _package(detail: dict[str, Any], before: dict[str, Any] | None, now: datetime) -> dict[str, Any]:
    package = {
        "packageReferenceId": detail["packageReferenceId"],
        "createdTime": before["createdTime"] if before else format_time(now),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": detail["carrierName"] if detail["carrierCode"] == "Other" else detail["carrierCode"],
        "shipTime": format_time(datetime.fromisoformat(detail["shipDate"])),
        "trackingNumber": detail["trackingNumber"],
        "packageItems": [
            {name: item[name] for name in ("orderItemId", "quantity", "transparencyCodes") if name in item}
            for item in detail["orderItems"]
        ],
    }
    if _is_text(detail.get("shippingMethod")):
        package["shippingService"] = detail["shippingMethod"]
    return package


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
