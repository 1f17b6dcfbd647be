"""Every request that changes something in Commerce is one that all editions publish: path, method and body."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from include.adapters.commerce import client as client_module
from include.adapters.commerce.address import order_addresses
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import read_order
from include.adapters.commerce.mapping import encode_order
from include.adapters.commerce.rights import HARMLESS
from include.adapters.http import Timeouts
from include.domain.errors import OrdersError
from include.domain.marketplaces import MARKETPLACES
from tests.support.commerce_entities import AMAZON_ORDER_ID, CONTACT, PLACEHOLDERS, US, entity, line, order
from tests.support.models import MODELS, needs_models

pytestmark = needs_models

DOCUMENTS = ["openapi-admin-2.4.6-subset.json", "openapi-admin-2.4.9-subset.json", "openapi-accs-subset.json"]
FOUND = read_order(
    {
        "entity_id": 12,
        "increment_id": "000000012",
        "store_id": 1,
        "grand_total": 10,
        "created_at": "2026-11-01 10:00:00",
    }
)
CREATE = {"subject": AMAZON_ORDER_ID, "personal": []}
ADDRESS = order_addresses(CONTACT, AMAZON_ORDER_ID, MARKETPLACES[US], PLACEHOLDERS)["shipping"]
CALLS: dict[str, Callable[[CommerceClient], Any]] = {
    "createOrder": lambda shop: shop.create_order(
        "default", encode_order(entity(order(line(), total="10.00"))), **CREATE
    ),
    "updateOrder": lambda shop: shop.set_status(FOUND, state="processing", status="processing"),
    "saveAddress": lambda shop: shop.save_address("12", 7, ADDRESS, personal=[]),
    "invoiceOrder": lambda shop: shop.invoice("12"),
    "cancelOrder": lambda shop: shop.cancel("12"),
    "holdOrder": lambda shop: shop.hold("12"),
    "unholdOrder": lambda shop: shop.unhold("12"),
    "refundOrder": lambda shop: shop.refund("12", {"3": 2}, with_shipping=False),
}
# The published documents that are at hand are subsets without the writing of customers.
UNPUBLISHED = {"createCustomer"}


class Recorder(httpx.BaseTransport):
    """Stands in for the network: keeps what is sent, and answers what fits no call."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.sent.append(request)
        return httpx.Response(200, json={"nothing": "of use"})


def request_of(call: Callable[[CommerceClient], Any]) -> tuple[str, str, Any]:
    """Method, path and body that a call of the client sends."""
    network = Recorder()
    shop = CommerceClient(
        host="http://127.0.0.1:9",
        auth=httpx.Auth(),
        edition="saas",
        connection="commerce_api",
        record=lambda _: None,
        timeouts=Timeouts(1, 1, 1),
    )
    shop._client = httpx.Client(base_url="http://127.0.0.1:9", transport=network)
    with suppress(OrdersError):  # the answer is of no use
        call(shop)
    (request,) = network.sent
    return request.method, request.url.path, json.loads(request.content) if request.content else None


def published(file: str) -> dict[str, Any]:
    """An edition's document, in which unknown fields are errors."""
    document: dict[str, Any] = copy.deepcopy(json.loads((MODELS / "commerce" / file).read_text()))
    for definition in document["definitions"].values():
        if definition.get("properties"):
            definition["additionalProperties"] = False
    return document


def route(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """What the document says of a request."""
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods:
            found: dict[str, Any] = methods[method.lower()]
            return found
    raise AssertionError(f"{method} {path} is not published")


def mistakes(document: dict[str, Any], operation: str, method: str, path: str, body: Any) -> list[str]:
    parameters = route(document, method, path).get("parameters", [])
    schemas = [one["schema"] for one in parameters if one["in"] == "body"]
    if not schemas:
        return [] if body is None else ["no body is published"]
    schema = {**schemas[0], "additionalProperties": False, "definitions": document["definitions"]}
    if operation == "updateOrder":
        # Commerce loads the order of that entity_id and changes what is given (magento2, OrderRepository::save).
        del schema["definitions"]["sales-data-order-interface"]["required"]
    validator = jsonschema.Draft7Validator(schema)
    return [f"{error.json_path} {error.message}" for error in validator.iter_errors(body if body is not None else {})]


def test_every_write_call_is_checked_when_the_client_is_read() -> None:
    source = Path(client_module.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'"(\w+)",\s*"(?:POST|PUT|DELETE)"', source)) == set(CALLS) | UNPUBLISHED


@pytest.mark.parametrize("file", DOCUMENTS)
@pytest.mark.parametrize("operation", CALLS)
def test_request_fits_the_published_document_when_it_changes_something(operation: str, file: str) -> None:
    assert mistakes(published(file), operation, *request_of(CALLS[operation])) == []


@pytest.mark.parametrize("file", DOCUMENTS)
def test_credit_of_a_whole_order_fits_the_published_document(file: str) -> None:
    request = request_of(lambda shop: shop.refund("12", {"3": 1}, with_shipping=True))
    assert mistakes(published(file), "refundOrder", *request) == []


@pytest.mark.parametrize("file", DOCUMENTS)
def test_request_that_proves_a_right_is_published_when_it_is_a_write(file: str) -> None:
    for operation, method, path, _ in HARMLESS.values():
        if method != "GET" and operation not in UNPUBLISHED:
            assert route(published(file), method, f"/V1/{path}")


def test_mistake_is_found_when_a_body_is_wrong() -> None:
    document = published(DOCUMENTS[1])
    method, path, body = request_of(CALLS["invoiceOrder"])
    assert mistakes(document, "invoiceOrder", method, path, body | {"notfy": False, "capture": "yes"}) != []
    with pytest.raises(AssertionError, match="not published"):
        route(document, "PUT", path)
    method, path, body = request_of(CALLS["saveAddress"])
    del body["entity"]["telephone"]
    assert len(mistakes(document, "saveAddress", method, path, body)) == 1
