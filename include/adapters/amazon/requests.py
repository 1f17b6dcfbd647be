"""What we send to Amazon: the query of an order listing and the confirmation of a package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from include.domain.carriers import OTHER_CARRIER
from include.domain.errors import MisconfiguredError, RefusedError

# Values of includedData. Without FULFILLMENT an order has no status; PAYMENT, EXPENSE and FULFILLMENT_ORDERS serve
# nothing that we do. Model: parameters of searchOrders in orders_2026-01-01.json.
IMPORT_DATA = ("BUYER", "CANCELLATION", "FULFILLMENT", "PACKAGES", "PROCEEDS", "PROMOTION", "RECIPIENT", "TAX")


def search_query(
    marketplace_ids: Sequence[str],
    updated_from: datetime,
    updated_to: datetime,
    included_data: Sequence[str] = IMPORT_DATA,
    page_size: int = 100,
    family: str = "lastUpdated",
) -> dict[str, str]:
    """The rendered query of searchOrders for one window (aware datetimes, both ends included).

    `family` is the time that the window means: lastUpdated or created; Amazon takes one of them.

    To be kept as it is: Amazon wants every page of a window asked with identical values (reported in
    github.com/amzn/selling-partner-api-models/issues/5144). Raises MisconfiguredError for what Amazon would refuse.
    """
    if not 1 <= len(set(marketplace_ids)) <= 50:
        raise MisconfiguredError("searchOrders takes 1 to 50 marketplaces. Resolution: check the account's stores.")
    if not 1 <= page_size <= 100:
        raise MisconfiguredError(
            "searchOrders gives 1 to 100 orders a page. Resolution: set ORDERS_ORDERS_PER_PAGE so."
        )
    if updated_to < updated_from:
        raise ValueError("the window ends before it begins")
    return {
        "includedData": ",".join(sorted(set(included_data))),
        f"{family}After": amazon_time(updated_from),
        f"{family}Before": amazon_time(updated_to),
        "marketplaceIds": ",".join(sorted(set(marketplace_ids))),
        "maxResultsPerPage": str(page_size),
    }


def amazon_time(moment: datetime) -> str:
    """An aware datetime as Amazon takes it: UTC with Z, milliseconds (cut, not rounded) only when there are any."""
    if moment.tzinfo is None:
        raise ValueError("a time without zone")
    precision = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def shipment_confirmation(
    *,
    marketplace_id: str,
    package_reference_id: str,
    carrier_code: str,
    carrier_name: str | None,
    shipping_method: str | None,
    tracking_number: str,
    shipped_at: datetime,
    units: Mapping[str, int],
) -> dict[str, Any]:
    """The body of confirmShipment for one package. `units` maps Amazon's item ids to units; `shipped_at` is aware.

    `package_reference_id` is our number of the package, digits in a string: the same number again changes the same
    package. Raises RefusedError (code InvalidShipment) for a package that Amazon is known to refuse. Model:
    PackageDetail in ordersV0.json; digits as string: github.com/amzn/selling-partner-api-models/issues/5094.
    """
    if not re.fullmatch("[1-9][0-9]*", package_reference_id):
        raise _invalid_shipment("the package reference is not a positive number")
    if not tracking_number.strip():
        raise _invalid_shipment("the tracking number is empty")
    if carrier_code == OTHER_CARRIER and not (carrier_name or "").strip():
        raise _invalid_shipment("the carrier has no name")
    if not units or any(type(count) is not int or count < 1 for count in units.values()):
        raise _invalid_shipment("a line has no whole quantity of at least 1, or there is no line")
    package: dict[str, Any] = {
        "packageReferenceId": package_reference_id,
        "carrierCode": carrier_code,
        "trackingNumber": tracking_number.strip(),
        "shipDate": amazon_time(shipped_at),
        "orderItems": [{"orderItemId": item_id, "quantity": count} for item_id, count in units.items()],
    }
    if carrier_name:
        package["carrierName"] = carrier_name.strip()
    if shipping_method:
        package["shippingMethod"] = shipping_method.strip()
    return {"marketplaceId": marketplace_id, "packageDetail": package}


def _invalid_shipment(reason: str) -> RefusedError:
    return RefusedError(
        f"The package cannot be confirmed: {reason}. Resolution: fix the shipment's track in Commerce.",
        code="InvalidShipment",
        reason=reason,
    )
