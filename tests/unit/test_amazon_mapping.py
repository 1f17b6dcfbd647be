"""Splitting orders by allow-list."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.adapters.amazon.contacts import merge_contact
from include.adapters.amazon.contract import contract
from include.adapters.amazon.split import split_order
from include.adapters.canonical_json import canonical_json, sha256_of
from include.domain.errors import MalformedOrderError

# Amazon's own list of personal data (developer-docs.amazon.com/sp-api/docs/access-orders-pii), and more of that kind.
PERSONAL_PATHS = [
    "buyer.buyerName",
    "buyer.buyerEmail",
    "buyer.buyerCompanyName",
    "buyer.buyerPurchaseOrderNumber",
    "recipient.deliveryAddress.name",
    "recipient.deliveryAddress.companyName",
    "recipient.deliveryAddress.addressLine1",
    "recipient.deliveryAddress.addressLine2",
    "recipient.deliveryAddress.addressLine3",
    "recipient.deliveryAddress.postalCode",
    "recipient.deliveryAddress.phone",
    "recipient.deliveryAddress.extendedFields.streetName",
    "recipient.deliveryAddress.extendedFields.complement",
    "recipient.deliveryPreference.addressInstruction",
    "payment.paymentExecutions[].acquirerId",
    "payment.paymentExecutions[].authorizationCode",
    "tax.taxRegistrations[].legalName",
    "tax.taxRegistrations[].taxRegistrationNumber",
    "tax.taxRegistrations[].taxRegistrationAddress.addressLine1",
    "tax.taxRegistrations[].taxRegistrationAttributes[].value",
    "orderItems[].product.customization.customizedUrl",
    "orderItems[].product.serialNumbers[]",
    "orderItems[].cancellation.cancellationRequest.cancelReason",
    "orderItems[].fulfillment.packing.giftOption.giftMessage",
    "packages[].shipFromAddress.addressLine1",
]


def leaf_nodes(node: dict[str, Any], path: str = "", personal: bool = False) -> Iterator[tuple[str, bool]]:
    personal = personal or node.get("x-personal", False)
    if node["type"] == "object":
        for name, child in node["properties"].items():
            yield from leaf_nodes(child, f"{path}.{name}" if path else name, personal)
    elif node["type"] == "array":
        yield from leaf_nodes(node["items"], path + "[]", personal)
    else:
        yield path, personal


def full(node: dict[str, Any], path: str = "", personal: bool = False) -> Any:
    """An order with every field of the contract; each personal text is a marker that names its path."""
    personal = personal or node.get("x-personal", False)
    match node:
        case {"type": "object"}:
            return {
                name: full(child, f"{path}.{name}" if path else name, personal)
                for name, child in node["properties"].items()
            }
        case {"type": "array"}:
            return [full(node["items"], path + "[]", personal)]
        case {"type": "integer"}:
            return 7
        case {"type": "number"}:
            return Decimal("1.50")
    return f"MARKER {path}." if personal else sound_text(node)


def sound_text(node: dict[str, Any]) -> str:
    if "format" in node:
        return "2026-11-01T10:00:00Z"
    if "pattern" in node:
        return next(v for v in ("12.30", "1234567890", "USD", "111-1234567-1234567") if json_matches(node, v))
    return str(node.get("x-known-values", ["plain"])[0])


def json_matches(node: dict[str, Any], value: str) -> bool:
    return bool(jsonschema.Draft7Validator({"pattern": node["pattern"]}).is_valid(value))


def leaves(value: Any, node: dict[str, Any] | None, path: str = "") -> list[tuple[str, str]]:
    """Every leaf with its path, list positions and ids left out, whether the list is a list or filed by id."""
    if node is not None and node["type"] == "array" and isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, dict):
        children = node.get("properties", {}) if node else {}
        return [leaf for name, part in value.items() for leaf in leaves(part, children.get(name), f"{path}.{name}")]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part, node.get("items") if node else None, path + "[]")]
    return [(path, repr(value))]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
UNKNOWN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
UNKNOWN_NAMES = st.sampled_from(["brandNew", "zzTop", "a b", "someone@example.com", ""])


@st.composite
def values(draw: st.DrawFn, node: dict[str, Any]) -> Any:
    match node["type"]:
        case "object":
            required = node.get("required", [])
            document = {
                name: draw(values(child))
                for name, child in node["properties"].items()
                if name in required or draw(st.integers(0, 3)) == 0
            }
            if draw(st.integers(0, 9)) == 0:
                document[draw(UNKNOWN_NAMES)] = draw(UNKNOWN_VALUES)
            return document
        case "array":
            return [draw(values(node["items"])) for _ in range(draw(st.integers(node.get("minItems", 0), 2)))]
        case "integer":
            return draw(st.integers(0, 1000))
        case "number":
            return draw(st.decimals(0, 1000, places=3))
    if "format" in node or "pattern" in node:
        return sound_text(node)
    return draw(TEXTS | st.sampled_from(node.get("x-known-values", ["NEW_CODE"])))


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = draw(values(contract()))
    for number, item in enumerate(document["orderItems"]):
        item["orderItemId"] = f"item-{number}"
    return document


def drop_some(value: Any, data: st.DataObject) -> Any:
    """The same contact with some of its fields withheld."""
    if not isinstance(value, dict):
        return value
    return {name: drop_some(part, data) for name, part in value.items() if data.draw(st.booleans())}


@settings(max_examples=50, deadline=None)
@given(orders())
def test_no_field_is_lost_when_any_order_is_split(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    landed = split_order(document)
    assert document == before
    both = leaves(landed.payload, contract()) + leaves(landed.contact, contract())
    assert sorted(both) == sorted(leaves(document, contract()))


@settings(max_examples=40, deadline=None)
@given(orders())
def test_only_listed_fields_stay_in_the_payload_when_any_order_is_split(document: dict[str, Any]) -> None:
    landed = split_order(document)
    clear = {"." + path for path, is_personal in leaf_nodes(contract()) if not is_personal}
    assert {path for path, _ in leaves(landed.payload, contract())} <= clear


@settings(max_examples=40, deadline=None)
@given(orders(), st.data())
def test_contact_is_unchanged_when_fields_are_withheld_later(document: dict[str, Any], data: st.DataObject) -> None:
    contact = split_order(document).contact
    later = drop_some(contact, data)
    assert merge_contact(contact, later) == contact
    assert merge_contact({}, contact) == contact
    assert merge_contact(contact, {}) == contact


def test_personal_texts_are_in_the_contact_only_when_every_field_is_present() -> None:
    document = full(contract())
    landed = split_order(document)
    assert landed.findings == []
    personal = [path for path, is_personal in leaf_nodes(contract()) if is_personal]
    assert set(PERSONAL_PATHS) <= set(personal)
    contact, clear = canonical_json(landed.contact), canonical_json(landed.payload)
    texts = [path for path in personal if f"MARKER {path}." in canonical_json(document)]
    assert len(texts) > 50
    assert [path for path in texts if f"MARKER {path}." not in contact] == []
    assert "MARKER" not in clear
    assert "MARKER" not in repr(landed)


def test_personal_parts_are_stored_by_id_when_a_list_is_partly_personal() -> None:
    document = full(contract())
    document["orderItems"].append({"orderItemId": "second", "quantityOrdered": 1})
    document["orderItems"].append(
        {
            "orderItemId": "third",
            "quantityOrdered": 1,
            "fulfillment": {"packing": {"giftOption": {"giftMessage": "Hi"}}},
        }
    )
    landed = split_order(document)
    assert set(landed.contact["orderItems"]) == {"1234567890", "third"}
    assert landed.contact["orderItems"]["third"] == {"fulfillment": {"packing": {"giftOption": {"giftMessage": "Hi"}}}}
    assert [item["orderItemId"] for item in landed.payload["orderItems"]] == ["1234567890", "second", "third"]
    assert landed.payload["orderItems"][2]["fulfillment"] == {"packing": {"giftOption": {}}}
    assert set(landed.contact["payment"]["paymentExecutions"]) == {"0"}


def test_unknown_fields_and_codes_become_findings_when_an_order_has_them() -> None:
    document = full(contract())
    document["brandNew"] = "Jane Doe"
    document["jane.doe@example.com"] = 1
    document["buyer"]["nickname"] = "Jane"
    document["orderItems"][0]["product"]["engraving"] = {"text": "For Jane"}
    document["programs"] = ["PRIME", "MOON_DELIVERY", "MOON_DELIVERY", "Jane Doe"]
    document["fulfillment"]["fulfillmentStatus"] = "TELEPORTED"
    document["tax"]["taxRegistrations"][0]["taxRegistrationType"] = "12345678909"
    landed = split_order(document)
    assert landed.findings == [
        "?",
        "brandNew",
        "buyer.nickname",
        "fulfillment.fulfillmentStatus=TELEPORTED",
        "orderItems[].product.engraving",
        "programs[]=MOON_DELIVERY",
    ]
    assert landed.contact["orderItems"]["1234567890"]["product"]["engraving"] == {"text": "For Jane"}
    assert landed.payload["fulfillment"]["fulfillmentStatus"] == "TELEPORTED"
    assert "engraving" not in canonical_json(landed.payload)


def test_hash_is_the_same_when_the_keys_come_in_another_order() -> None:
    document = full(contract())
    turned = json.loads(canonical_json(document), parse_float=Decimal)
    assert list(turned) != list(document)
    assert split_order(turned).payload_sha256 == split_order(document).payload_sha256
    assert split_order(document).payload_sha256 == sha256_of(split_order(document).payload)
    document["proceeds"]["grandTotal"]["amount"] = "12.3"
    assert split_order(turned).payload_sha256 != split_order(document).payload_sha256


def test_hash_is_the_same_when_only_personal_data_changes() -> None:
    document = full(contract())
    before = split_order(document).payload_sha256
    document["buyer"]["buyerName"] = "Somebody Else"
    assert split_order(document).payload_sha256 == before


def test_amounts_keep_their_text_when_they_have_trailing_zeros() -> None:
    document = full(contract())
    document["proceeds"]["grandTotal"] = {"amount": "0010.100", "currencyCode": "KWD"}
    landed = split_order(document)
    assert landed.payload["proceeds"]["grandTotal"]["amount"] == "0010.100"
    assert '"value":1.50' in canonical_json(landed.payload)


def test_order_is_accepted_when_its_year_is_1995() -> None:
    document = full(contract())
    document["createdTime"] = document["lastUpdatedTime"] = "1995-01-01T00:00:00Z"
    assert split_order(document).last_updated_at == datetime(1995, 1, 1, tzinfo=UTC)


def test_known_fields_are_left_out_when_they_are_null() -> None:
    document = full(contract())
    document["proceeds"] = None
    document["recipient"]["deliveryAddress"]["phone"] = None
    document["orderItems"][0]["product"]["title"] = None
    landed = split_order(document)
    assert "proceeds" not in landed.payload
    assert "phone" not in landed.contact["recipient"]["deliveryAddress"]
    assert "title" not in landed.payload["orderItems"][0]["product"]


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        (["orderItems", 0, "product", "title"], "nul \x00 inside", "orderItems[].product.title: characters or digits"),
        (["orderItems", 0, "product", "title"], "half \ud83d", "orderItems[].product.title: characters or digits"),
        (["programs", 0], "\udfff", "programs[]: characters or digits"),
        (
            ["orderItems", 0, "measurement", "value"],
            Decimal("1e-200000"),
            "orderItems[].measurement.value: characters or digits",
        ),
        (["proceeds", "grandTotal", "amount"], "Planted", "proceeds.grandTotal.amount: pattern"),
        (["lastUpdatedTime"], None, "lastUpdatedTime: required"),
    ],
)
def test_order_is_refused_with_its_finding_when_a_value_cannot_be_stored(
    path: list[Any], value: Any, finding: str
) -> None:
    document = full(contract())
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises(MalformedOrderError) as caught:
        split_order(document)
    assert caught.value.findings == [finding]
    assert "111-1234567-1234567" in str(caught.value)
    assert "Planted" not in str(caught.value)
    assert len(sha256_of(document)) == 64  # a document that is set aside has a hash all the same


def test_order_is_refused_when_two_items_have_one_id() -> None:
    document = full(contract())
    document["orderItems"].append(copy.deepcopy(document["orderItems"][0]))
    with pytest.raises(MalformedOrderError) as caught:
        split_order(document)
    assert caught.value.findings == ["orderItems[].orderItemId: unique"]
