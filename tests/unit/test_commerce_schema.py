"""Orders of ours and Amazon's own examples fit Commerce's published schema."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
import simplejson

from include.adapters.amazon.contacts import read_contact
from include.adapters.amazon.split import split_order
from include.domain.contacts import Contact
from include.domain.orders import Order, OrderLine
from tests.support.commerce_entities import US, entity, line, order
from tests.support.models import MODELS, needs_models


def strict_schema(file: str) -> dict[str, Any]:
    """The schema of an order, in which unknown fields are errors."""
    definitions = copy.deepcopy(json.loads((MODELS / "commerce" / file).read_text())["definitions"])
    for definition in definitions.values():
        if definition.get("properties"):
            definition["additionalProperties"] = False
    return {"$ref": "#/definitions/sales-data-order-interface", "definitions": definitions}


SCHEMAS = ["openapi-admin-2.4.6-subset.json", "openapi-admin-2.4.9-subset.json", "openapi-accs-subset.json"]


def amazon_examples() -> list[dict[str, Any]]:
    """Every order in the examples of Amazon's model."""
    model = json.loads((MODELS / "amazon" / "orders_2026-01-01.json").read_text(), parse_float=Decimal)
    answers = []
    for operations in model["paths"].values():
        response = operations["get"]["responses"]["200"]
        answers += list(response.get("examples", {}).values())
        answers += [each["response"] for each in response.get("x-amzn-api-sandbox", {}).get("static", [])]
    return [each for answer in answers for each in [*answer.get("orders", []), *filter(None, [answer.get("order")])]]


def staged(payload: dict[str, Any]) -> Order:
    """The order in our words, by the shortest way."""

    def money(parent: dict[str, Any], kind: str) -> Decimal | None:
        rows = parent.get("proceeds", {}).get("breakdowns", [])
        return next((Decimal(row["subtotal"]["amount"]) for row in rows if row["type"] == kind), None)

    total = payload["proceeds"]["grandTotal"]
    return Order(
        amazon_order_id=payload["orderId"],
        account_name="acme",
        marketplace_id=payload["salesChannel"]["marketplaceId"],
        amazon_status=payload["fulfillment"]["fulfillmentStatus"],
        fulfilled_by=payload["fulfillment"]["fulfilledBy"],
        purchased_at=datetime.fromisoformat(payload["createdTime"]),
        currency_code=total["currencyCode"],
        grand_total_amount=Decimal(total["amount"]),
        lines=tuple(
            OrderLine(
                amazon_item_id=item["orderItemId"],
                seller_sku=item["product"]["sellerSku"],
                ordered_qty=item["quantityOrdered"],
                item_amount=money(item, "ITEM"),
                shipping_amount=money(item, "SHIPPING"),
                tax_amount=money(item, "TAX"),
            )
            for item in payload["orderItems"]
        ),
    )


@needs_models
@pytest.mark.parametrize("file", SCHEMAS)
def test_orders_fit_commerces_schema_when_they_are_validated(file: str) -> None:
    validator = jsonschema.Draft7Validator(strict_schema(file))
    everything = line(
        shipping_amount=Decimal("4.00"),
        gift_wrap_amount=Decimal(1),
        tax_amount=Decimal("0.8"),
        discount_amount=Decimal(1),
    )
    documents = [
        entity(order(everything, line(2), total="25.00", programs=("PRIME",)), order_number_source="amazon"),
        entity(order(line(), total="10.00"), Contact(), customer_id=3, is_amazon_tax_used=False),
    ]
    examples = amazon_examples()
    assert len(examples) >= 4
    for example in examples:
        landed = split_order(example)
        found = staged(landed.payload)
        documents.append(entity(found, read_contact(landed.contact), found.marketplace_id or US))
        assert documents[-1]["grand_total"] == Decimal(example["proceeds"]["grandTotal"]["amount"])
    for document in documents:
        wire = json.loads(simplejson.dumps(document, use_decimal=True))
        assert [error.json_path + error.message for error in validator.iter_errors(wire)] == []


@needs_models
def test_every_mistake_is_found_when_the_order_is_wrong() -> None:
    validator = jsonschema.Draft7Validator(strict_schema(SCHEMAS[1]))
    document = json.loads(simplejson.dumps(entity(order(line(), total="10.00")), use_decimal=True))
    del document["billing_address"]["telephone"]
    document["items"][0]["sku_of_amazon"] = "x"
    document["total_due"] = "10.00"
    assert len(list(validator.iter_errors(document))) == 3
