"""Amazon's order documents split into what may lie in clear and what may not, and our words into Amazon's requests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import simplejson

from include.adapters.amazon.contract import Node, check, contract, malformed, parse_moment
from include.domain.errors import MalformedOrderError, MisconfiguredError, RefusedError

# Values of includedData. Without FULFILLMENT an order has no status; PAYMENT, EXPENSE and FULFILLMENT_ORDERS serve
# nothing that we do. Model: parameters of searchOrders in orders_2026-01-01.json.
IMPORT_DATA = ("BUYER", "CANCELLATION", "FULFILLMENT", "PACKAGES", "PROCEEDS", "PROMOTION", "RECIPIENT", "TAX")
VERIFY_DATA = ("FULFILLMENT", "PACKAGES")

_CODE = re.compile(r"[A-Z0-9_]{1,60}")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_SURROGATES = re.compile("[\ud800-\udfff]")


class _NotStorable(ValueError):
    """The value at this path fits no text, jsonb or numeric column: NUL, a lone surrogate, an absurd number."""


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

    A null counts as an absent field. The result shares parts with `document`; change neither. Raises
    MalformedOrderError, without values.
    """
    try:
        check(document)
    except MalformedOrderError:
        document = _without_nulls(document, contract())
        check(document)
    items = [item["orderItemId"] for item in document["orderItems"]]
    if len(set(items)) < len(items):
        raise malformed(document, "orderItems[].orderItemId: unique")
    findings: set[str] = set()
    try:
        payload, contact = _split(document, contract(), "", findings)
    except _NotStorable as error:
        raise malformed(document, f"{error}: characters or digits") from None
    return LandedOrder(
        amazon_order_id=document["orderId"],
        last_updated_at=parse_moment(document["lastUpdatedTime"]),
        payload=payload,
        contact=contact,
        findings=sorted(findings),
        payload_sha256=sha256_of(payload),
    )


def merge_contact(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The contact of an order of which `new` is the newer version: the newer wins field by field.

    What the newer lacks is kept: Amazon withholds phone and address some time after delivery. An address that
    contradicts the older one replaces it whole, so that no parcel goes to a mixture of two.
    """
    merged: dict[str, Any] = _merge(old, new, contract())
    return merged


def canonical_json(document: Any) -> str:
    """JSON with sorted keys, no spaces and ASCII only; Decimals keep every digit. Equal documents give equal texts."""
    return simplejson.dumps(document, use_decimal=True, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sha256_of(document: Any) -> str:
    """SHA-256 (hex) of a document's canonical JSON."""
    return hashlib.sha256(canonical_json(document).encode("ascii")).hexdigest()


def search_query(
    marketplace_ids: Sequence[str],
    updated_from: datetime,
    updated_to: datetime,
    included_data: Sequence[str] = IMPORT_DATA,
    page_size: int = 100,
) -> dict[str, str]:
    """The rendered query of searchOrders for one window (aware datetimes, both ends included).

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
        "lastUpdatedAfter": amazon_time(updated_from),
        "lastUpdatedBefore": amazon_time(updated_to),
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
    items: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The body of confirmShipment for one package. `items` are {orderItemId, quantity}; `shipped_at` is aware.

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
    if not items or any(type(item["quantity"]) is not int or item["quantity"] < 1 for item in items):
        raise _invalid_shipment("a line has no whole quantity of at least 1, or there is no line")
    package: dict[str, Any] = {
        "packageReferenceId": package_reference_id,
        "carrierCode": carrier_code,
        "trackingNumber": tracking_number.strip(),
        "shipDate": amazon_time(shipped_at),
        "orderItems": [{"orderItemId": item["orderItemId"], "quantity": item["quantity"]} for item in items],
    }
    if carrier_name:
        package["carrierName"] = carrier_name.strip()
    if shipping_method:
        package["shippingMethod"] = shipping_method.strip()
    return {"marketplaceId": marketplace_id, "packageDetail": package}


def carrier_for(commerce_carrier_code: str, title: str) -> tuple[str, str | None]:
    """Amazon's (carrierCode, carrierName) for a Commerce track's carrier code and title.

    The code decides, then the title (tracks that people type in have the code `custom`). An unknown carrier is
    ("Other", its title): Amazon takes it, but it does not count for the valid tracking rate.
    """
    for words in (commerce_carrier_code, title):
        code = CARRIERS.get(re.sub("[^a-z0-9]", "", words.lower()))
        if code is not None:
            return code, None
    return OTHER_CARRIER, title.strip() or commerce_carrier_code.strip() or OTHER_CARRIER


OTHER_CARRIER = "Other"

# Letters and digits of a Commerce carrier code or title -> Amazon's carrier code, spelled as in Seller Central's list:
# another spelling leaves the order unconfirmed (github.com/amzn/selling-partner-api-docs/issues/413).
CARRIERS = {
    "ups": "UPS",
    "unitedparcelservice": "UPS",
    "fedex": "FedEx",
    "federalexpress": "FedEx",
    "usps": "USPS",
    "unitedstatespostalservice": "USPS",
    "ontrac": "OnTrac",
    "lasership": "Lasership",
    "canadapost": "Canada Post",
    "dhl": "DHL",
    "dhlexpress": "DHL",
    "dhlpaket": "DHL",
    "dhlglobalmail": "DHL Global Mail",
    "deutschepost": "Deutsche Post",
    "dpd": "DPD",
    "gls": "GLS",
    "tnt": "TNT",
    "royalmail": "Royal Mail",
    "parcelforce": "Parcelforce",
    "laposte": "La Poste",
    "chronopost": "Chronopost",
    "posteitaliane": "Poste Italiane",
    "sda": "SDA",
    "yamato": "YamatoTransport",
    "yamatotransport": "YamatoTransport",
    "sagawa": "SagawaExpress",
    "sagawaexpress": "SagawaExpress",
}


def _invalid_shipment(reason: str) -> RefusedError:
    return RefusedError(
        f"The package cannot be confirmed: {reason}. Resolution: mend the shipment's track in Commerce.",
        code="InvalidShipment",
        reason=reason,
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
            raise _NotStorable(path)
    elif isinstance(value, Decimal):
        _, digits, exponent = value.as_tuple()
        if len(digits) > 60 or exponent not in range(-30, 31):
            raise _NotStorable(path)
    known = node.get("x-known-values")
    if known is not None and value not in known and _CODE.fullmatch(value):
        findings.add(f"{path}={value}")
    return value


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


def _without_nulls(value: Any, node: Node) -> Any:
    if node["type"] == "object" and isinstance(value, dict):
        properties = node["properties"]
        return {
            name: _without_nulls(part, properties[name]) if name in properties else part
            for name, part in value.items()
            if part is not None or name not in properties
        }
    if node["type"] == "array" and isinstance(value, list):
        return [_without_nulls(part, node["items"]) for part in value]
    return value


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
