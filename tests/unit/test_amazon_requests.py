"""Our requests to Amazon against Amazon's models, and Amazon's names of carriers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from include.adapters.amazon.requests import amazon_time, search_query, shipment_confirmation
from include.domain.errors import MisconfiguredError, RefusedError
from tests.support.models import AMAZON_ORDERS, MODELS, needs_models


def test_search_query_is_sorted_and_without_duplicates_when_it_is_built() -> None:
    start = datetime(2026, 11, 1, 10, 0, 0, tzinfo=UTC)
    query = search_query(["B", "A", "B"], start, start + timedelta(hours=1, microseconds=120_999), ["TAX", "BUYER"], 50)
    assert query == {
        "includedData": "BUYER,TAX",
        "lastUpdatedAfter": "2026-11-01T10:00:00Z",
        "lastUpdatedBefore": "2026-11-01T11:00:00.120Z",
        "marketplaceIds": "A,B",
        "maxResultsPerPage": "50",
    }
    assert query == search_query(["A", "B"], start, start + timedelta(hours=1, milliseconds=120), ["BUYER", "TAX"], 50)


@needs_models
def test_search_query_has_known_parameters_only_when_compared_with_amazons_model() -> None:
    model = json.loads(AMAZON_ORDERS.read_text(encoding="utf-8"))
    parameters = {p["name"]: p for p in model["paths"]["/orders/2026-01-01/orders"]["get"]["parameters"]}
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    query = search_query(["ATVPDKIKX0DER"], moment, moment)
    assert set(query) <= set(parameters)
    allowed = parameters["includedData"]["items"]["enum"]
    assert query["includedData"] and set(query["includedData"].split(",")) <= set(allowed)


@pytest.mark.parametrize(
    ("marketplaces", "size"), [([], 100), (["A"], 0), (["A"], 101), ([str(i) for i in range(51)], 9)]
)
def test_search_query_is_refused_when_amazon_would_refuse_it(marketplaces: list[str], size: int) -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(MisconfiguredError):
        search_query(marketplaces, moment, moment, page_size=size)


def test_search_query_is_refused_when_the_window_runs_backwards() -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="before it begins"):
        search_query(["A"], moment, moment - timedelta(seconds=1))


def test_time_is_converted_to_utc_or_refused_when_it_is_local_or_naive() -> None:
    assert amazon_time(datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))) == "2026-01-01T00:00:00Z"
    with pytest.raises(ValueError, match="without zone"):
        amazon_time(datetime(2026, 1, 1))  # noqa: DTZ001


PACKAGE: dict[str, Any] = {
    "marketplace_id": "ATVPDKIKX0DER",
    "package_reference_id": "1",
    "carrier_code": "FedEx",
    "carrier_name": None,
    "shipping_method": "FedEx Ground",
    "tracking_number": "112345678",
    "shipped_at": datetime(2022, 2, 11, 1, tzinfo=UTC),
    "units": {"79039765272157": 1},
}


@needs_models
@pytest.mark.parametrize("change", [{}, {"carrier_code": "Other", "carrier_name": "Bike"}, {"shipping_method": None}])
def test_shipment_confirmation_fits_the_schema_when_compared_with_amazons_model(change: dict[str, Any]) -> None:
    model = json.loads((MODELS / "amazon" / "ordersV0.json").read_text(encoding="utf-8"))
    schema = {"$ref": "#/definitions/ConfirmShipmentRequest", "definitions": model["definitions"]}
    body = shipment_confirmation(**(PACKAGE | change))
    jsonschema.Draft4Validator(schema).validate(body)
    unknown = set(body["packageDetail"]) - set(model["definitions"]["PackageDetail"]["properties"])
    assert unknown == set()


@needs_models
def test_shipment_confirmation_is_the_same_when_compared_with_amazons_example() -> None:
    model = json.loads((MODELS / "amazon" / "ordersV0.json").read_text(encoding="utf-8"))
    answers = model["paths"]["/orders/v0/orders/{orderId}/shipmentConfirmation"]["post"]["responses"]
    example = answers["204"]["x-amzn-api-sandbox"]["static"][0]["request"]["parameters"]["body"]["value"]
    ours = shipment_confirmation(**PACKAGE)["packageDetail"]
    for name in ("packageReferenceId", "carrierCode", "shippingMethod", "trackingNumber"):
        assert ours[name] == example["packageDetail"][name]
    assert ours["shipDate"] == "2022-02-11T01:00:00Z"
    assert example["packageDetail"]["shipDate"] == "2022-02-11T01:00:00.000Z"  # the same moment


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"package_reference_id": "0"}, "package reference"),
        ({"package_reference_id": "P-1"}, "package reference"),
        ({"tracking_number": "  "}, "tracking number"),
        ({"carrier_code": "Other", "carrier_name": " "}, "carrier"),
        ({"units": {}}, "line"),
        ({"units": {"1": 0}}, "line"),
        ({"units": {"1": Decimal("1.5")}}, "line"),
    ],
)
def test_shipment_confirmation_is_refused_when_amazon_would_refuse_it(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        shipment_confirmation(**(PACKAGE | change))
    assert caught.value.code == "InvalidShipment"
