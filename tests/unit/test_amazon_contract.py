"""Our contract of Amazon's order document against Amazon's own model, and against the orders it must refuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.amazon.contract import check, contract, parse_moment
from include.adapters.amazon.split import split_order
from include.domain.errors import MalformedOrderError
from tests.support.models import AMAZON_ORDERS, needs_models

SEARCH_ORDERS = "/orders/2026-01-01/orders"


# Fields of Amazon's model that our contract leaves out, with the reason.
LEFT_OUT: dict[str, str] = {}

# Required by us; Amazon's model requires them too. More may be missing: much depends on includedData and roles.
REQUIRED = {
    "orderId",
    "createdTime",
    "lastUpdatedTime",
    "orderItems",
    "orderItems[].orderItemId",
    "orderItems[].quantityOrdered",
}

MINIMAL: dict[str, Any] = {
    "orderId": "111-1234567-1234567",
    "createdTime": "2026-11-01T00:00:00Z",
    "lastUpdatedTime": "2026-11-01T00:00:00Z",
    "orderItems": [{"orderItemId": "123", "quantityOrdered": 1}],
}


def model() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(AMAZON_ORDERS.read_text(encoding="utf-8"), parse_float=Decimal)
    return loaded


def official_orders() -> list[dict[str, Any]]:
    """The orders of every example of searchOrders and getOrder that the model holds."""
    orders: list[dict[str, Any]] = []
    for path in model()["paths"].values():
        sandbox = path["get"]["responses"]["200"].get("x-amzn-api-sandbox", {})
        for example in sandbox.get("static", []):
            response = example["response"]
            orders += response.get("orders") or [response["order"]]
    return orders


def model_fields(node: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, bool]]:
    """Every field of Amazon's model as (path, type, required)."""
    node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    if node["type"] == "array":
        yield from model_fields(node["items"], definitions, path + "[]")
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        target = definitions[child["$ref"].rpartition("/")[2]] if "$ref" in child else child
        yield where, target["type"], name in node.get("required", [])
        yield from model_fields(child, definitions, where)


def our_nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of our contract with its path."""
    yield path, node
    if "items" in node:
        yield from our_nodes(node["items"], path + "[]")
    for name, child in node.get("properties", {}).items():
        yield from our_nodes(child, f"{path}.{name}" if path else name)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    """The minimal order with another value at `path`."""
    document = copy.deepcopy(MINIMAL)
    part: Any = document
    for step in path[:-1]:
        part = part.setdefault(step, {}) if isinstance(part, dict) else part[step]
    part[path[-1]] = value
    return document


@needs_models
def test_contract_covers_every_field_with_its_type_when_compared_with_amazons_model() -> None:
    ours = dict(our_nodes(contract()))
    definitions = model()["definitions"]
    fields = list(model_fields({"$ref": "#/definitions/Order"}, definitions))
    assert len(fields) > 150
    missing = [path for path, _, _ in fields if path not in ours and path not in LEFT_OUT]
    assert missing == []
    other_types = [(path, kind, ours[path]["type"]) for path, kind, _ in fields if ours[path]["type"] != kind]
    assert other_types == []
    assert {path for path, _, required in fields if required} >= REQUIRED


@needs_models
def test_contract_knows_every_value_when_compared_with_amazons_enums() -> None:
    ours = dict(our_nodes(contract()))
    definitions = model()["definitions"]

    def enums(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, list[str]]]:
        node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if "enum" in node:
            yield path, node["enum"]
        if "items" in node:
            yield from enums(node["items"], path + "[]")
        for name, child in node.get("properties", {}).items():
            yield from enums(child, f"{path}.{name}" if path else name)

    found = dict(enums({"$ref": "#/definitions/Order"}))
    assert "fulfillment.fulfillmentStatus" in found
    unlisted = {path: set(values) - set(ours[path]["x-known-values"]) for path, values in found.items()}
    assert {path: values for path, values in unlisted.items() if values} == {}


@needs_models
def test_orders_are_split_without_findings_when_they_are_the_official_examples() -> None:
    orders = official_orders()
    assert len(orders) >= 2
    for document in orders:
        landed = split_order(document)
        assert landed.findings == []
        assert landed.amazon_order_id == document["orderId"]
        assert landed.payload["proceeds"] == document["proceeds"]
        assert [item["proceeds"] for item in landed.payload["orderItems"]] == [
            item["proceeds"] for item in document["orderItems"]
        ]
        assert landed.contact["buyer"] == document["buyer"]
        assert "buyer" not in landed.payload and "recipient" not in landed.payload


def test_every_node_has_a_type_when_the_contract_is_walked() -> None:
    nodes = dict(our_nodes(contract()))
    assert len(nodes) > 150
    for path, node in nodes.items():
        assert "$ref" not in node, path
        match node["type"]:
            case "object":
                assert node["properties"], path
            case "array":
                assert node["items"], path
            case kind:
                assert kind in ("string", "integer", "number"), path


@pytest.mark.parametrize("order_id", ["111-1234567-1234567", "S01-1234567-1234567", "D01-7654321-0000000"])
def test_order_id_is_accepted_when_it_has_a_known_form(order_id: str) -> None:
    check(changed(["orderId"], order_id))


@pytest.mark.parametrize(
    "moment",
    ["1995-01-01T00:00:00Z", "2024-12-25T02:30:00.123Z", "2024-12-25T02:30Z", "2024-12-25T02:30:00+09:00"],
)
def test_moment_is_accepted_when_it_is_unusual_but_real(moment: str) -> None:
    check(changed(["createdTime"], moment))


@pytest.mark.parametrize("amount", ["0", "19940", "-3.50", "10.10", "99999999999999.99", "0.000000000001"])
def test_amount_is_accepted_when_it_is_a_decimal_number(amount: str) -> None:
    check(changed(["proceeds", "grandTotal"], {"amount": amount, "currencyCode": "JPY"}))


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        (["orderId"], "not-an-id", "orderId: pattern"),
        (["orderId"], "111-1234567-1234567\n", "orderId: pattern"),
        (["orderId"], 5, "orderId: type"),
        (["createdTime"], "2026-02-30T00:00:00Z", "createdTime: format"),
        (["createdTime"], "2026-02-01T00:00:00", "createdTime: format"),
        (["createdTime"], "0001-01-01T00:00:00+14:00", "createdTime: format"),
        (["lastUpdatedTime"], "yesterday", "lastUpdatedTime: format"),
        (["lastUpdatedTime"], None, "lastUpdatedTime: type"),
        (["orderItems"], [], "orderItems: minItems"),
        (["orderItems", 0, "quantityOrdered"], -1, "orderItems[0].quantityOrdered: minimum"),
        (["orderItems", 0, "quantityOrdered"], True, "orderItems[0].quantityOrdered: type"),
        (["orderItems", 0, "quantityOrdered"], 10**10, "orderItems[0].quantityOrdered: maximum"),
        (["orderItems", 0, "orderItemId"], 12, "orderItems[0].orderItemId: type"),
        (["proceeds", "grandTotal"], {"amount": "1,5", "currencyCode": "EUR"}, "proceeds.grandTotal.amount: pattern"),
        (["proceeds", "grandTotal"], {"amount": "1e9", "currencyCode": "EUR"}, "proceeds.grandTotal.amount: pattern"),
        (["proceeds", "grandTotal"], {"amount": "١", "currencyCode": "EUR"}, "proceeds.grandTotal.amount: pattern"),
        (
            ["proceeds", "grandTotal"],
            {"amount": "9" * 15, "currencyCode": "EUR"},
            "proceeds.grandTotal.amount: pattern",
        ),
        (["proceeds", "grandTotal"], {"amount": 1, "currencyCode": "EUR"}, "proceeds.grandTotal.amount: type"),
        (
            ["proceeds", "grandTotal"],
            {"amount": "1", "currencyCode": "euro"},
            "proceeds.grandTotal.currencyCode: pattern",
        ),
        (["proceeds", "grandTotal"], {"amount": "1"}, "proceeds.grandTotal.currencyCode: required"),
        (["recipient"], "Planted Name", "recipient: type"),
    ],
)
def test_document_is_refused_with_its_finding_when_a_value_breaks_the_contract(
    path: list[Any], value: Any, finding: str
) -> None:
    document = changed(path, value)
    with pytest.raises(MalformedOrderError) as caught:
        check(document)
    assert caught.value.findings == [finding]
    assert "Resolution:" in str(caught.value)
    assert "Planted" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_document_is_refused_when_a_required_field_is_missing(name: str) -> None:
    document = {key: value for key, value in MINIMAL.items() if key != name}
    with pytest.raises(MalformedOrderError) as caught:
        check(document)
    assert caught.value.findings == [f"{name}: required"]


@pytest.mark.parametrize("document", [None, [], "text", 5])
def test_document_is_refused_when_it_is_not_an_object(document: Any) -> None:
    with pytest.raises(MalformedOrderError) as caught:
        check(document)
    assert caught.value.findings == ["document: type"]


def test_moment_is_converted_to_utc_when_it_has_another_zone() -> None:
    assert parse_moment("2024-12-25T02:30:00+09:00").isoformat() == "2024-12-24T17:30:00+00:00"
