"""Amazon's own examples of searchOrders and getOrder go the whole way and keep their meaning."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from local.sandbox.seeds import AmazonOrderSeed, Product
from tests.support.models import AMAZON_ORDERS, needs_models
from tests.support.road import Road

pytestmark = needs_models

# Marketplace of an example -> the account and the store that take it
OWNERS = {
    "ATVPDKIKX0DER": ("acme-na", "Acme US"),
    "A1F83G8C2ARO7P": ("acme-eu", "Acme UK"),
    "A1VC38T7YXB528": ("acme-fe", "Acme Japan"),
}


def official_orders() -> dict[str, dict[str, Any]]:
    """Every order of every example of the two operations, by id; numbers without floats."""
    model = json.loads(AMAZON_ORDERS.read_text(encoding="utf-8"), parse_float=Decimal)
    documents: list[dict[str, Any]] = []
    for path in model["paths"].values():
        answer = path["get"]["responses"]["200"]
        responses = [answer["examples"]["application/json"]] if "examples" in answer else []
        responses += [example["response"] for example in answer.get("x-amzn-api-sandbox", {}).get("static", [])]
        for response in responses:
            documents += response.get("orders") or [response["order"]]
    return {document["orderId"]: document for document in documents}


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def money(document: dict[str, Any] | None) -> Decimal | None:
    return None if document is None else Decimal(document["amount"])


def breakdown(item: dict[str, Any], kind: str) -> Decimal | None:
    found = [money(part["subtotal"]) for part in item["proceeds"]["breakdowns"] if part["type"] == kind]
    return sum((amount for amount in found if amount is not None), Decimal(0)) if found else None


@pytest.fixture
def examples(road: Road) -> dict[str, dict[str, Any]]:
    """The examples, listed by the sandbox, sold by stores that want them, with their products in the catalog."""
    documents = official_orders()
    for _, store_name in OWNERS.values():
        road.change_store(store_name, import_since=datetime(2024, 1, 1, tzinfo=UTC))
    number = 100
    for document in documents.values():
        account_name, _ = OWNERS[document["salesChannel"]["marketplaceId"]]
        road.sandbox.amazon.add_order(AmazonOrderSeed(road.stores.account(account_name).seller_id, document))
        for item in document["orderItems"]:
            stock = {stock_id: Decimal(50) for stock_id in (1, 2, 3)}
            sku, number = item["product"]["sellerSku"], number + 1
            road.sandbox.commerce.add_product(Product(number, sku, sku, Decimal(1), (1, 2, 3), quantities=stock))
    road.next_run()
    return documents


def test_every_example_is_in_every_table_when_they_are_counted(examples: dict[str, dict[str, Any]], road: Road) -> None:
    assert len(examples) >= 3
    assert {document["salesChannel"]["marketplaceId"] for document in examples.values()} == set(OWNERS)
    assert road.rows("select * from ops.quarantined_orders") == []
    for table in ("raw.amazon_orders", "core.orders", "reporting.recent_orders"):
        landed = {row.amazon_order_id for row in road.rows(f"select amazon_order_id from {table}")}
        assert landed == set(examples), table


def test_examples_are_what_amazon_sent_when_landed(examples: dict[str, dict[str, Any]], road: Road) -> None:
    for row in road.rows("select amazon_order_id, payload, contract_findings, last_updated_at from raw.amazon_orders"):
        document = examples[row.amazon_order_id]
        assert row.contract_findings == []
        assert row.last_updated_at == moment(document["lastUpdatedTime"])
        for part in ("orderId", "createdTime", "lastUpdatedTime", "programs", "salesChannel", "proceeds"):
            assert row.payload[part] == document[part], part
        for landed, item in zip(row.payload["orderItems"], document["orderItems"], strict=True):
            for part in ("orderItemId", "quantityOrdered", "proceeds"):
                assert landed[part] == item[part], part
        token = road.value("select contact_encrypted from pii.order_contacts where amazon_order_id = :id", id=row[0])
        assert road.cipher.decrypt(bytes(token))["buyer"]["buyerName"] == document["buyer"]["buyerName"]
        stored = json.dumps(row.payload, ensure_ascii=False, default=str)
        assert document["buyer"]["buyerName"] not in stored
        assert document["recipient"]["deliveryAddress"]["addressLine1"] not in stored


def test_examples_mean_the_same_when_staged(examples: dict[str, dict[str, Any]], road: Road) -> None:
    for row in road.rows("select * from core.orders"):
        document = examples[row.amazon_order_id]
        fulfillment, channel = document["fulfillment"], document["salesChannel"]
        assert (row.account_name, row.store_name) == OWNERS[channel["marketplaceId"]]
        assert row.marketplace_id == channel["marketplaceId"]
        assert row.amazon_status == fulfillment["fulfillmentStatus"]
        assert row.fulfilled_by == fulfillment["fulfilledBy"]
        assert row.service_level == fulfillment["fulfillmentServiceLevel"]
        assert row.purchased_at == moment(document["createdTime"])
        assert row.amazon_last_updated_at == moment(document["lastUpdatedTime"])
        assert row.ship_by_at == moment(fulfillment["shipByWindow"]["latestDateTime"])
        assert row.deliver_by_at == moment(fulfillment.get("deliverByWindow", {}).get("latestDateTime"))
        assert row.grand_total_amount == money(document["proceeds"]["grandTotal"])
        assert row.currency_code == document["proceeds"]["grandTotal"]["currencyCode"]
        assert row.has_total_mismatch is False
        assert row.programs == document["programs"]
        replaced = [one["orderId"] for one in document.get("associatedOrders", [])]
        assert row.replaced_amazon_order_id == (replaced[0] if replaced else None)
        assert row.ordered_qty == sum(item["quantityOrdered"] for item in document["orderItems"])
        cancellations = [item.get("cancellation", {}) for item in document["orderItems"]]
        asks = any("cancellationRequest" in one and "cancellationExecution" not in one for one in cancellations)
        assert row.is_buyer_cancel_requested is asks


def test_lines_of_the_examples_mean_the_same_when_staged(examples: dict[str, dict[str, Any]], road: Road) -> None:
    titles = []
    for order_id, document in examples.items():
        rows = road.rows("select * from core.order_items where amazon_order_id = :id order by line_number", id=order_id)
        for row, item in zip(rows, document["orderItems"], strict=True):
            product = item["product"]
            assert row.amazon_item_id == item["orderItemId"]
            assert (row.seller_sku, row.asin, row.title) == (product["sellerSku"], product["asin"], product["title"])
            assert row.ordered_qty == item["quantityOrdered"]
            assert row.fulfilled_qty == item["fulfillment"]["quantityFulfilled"]
            assert row.unit_price_amount == money(product["price"]["unitPrice"])
            assert row.line_total_amount == money(item["proceeds"]["proceedsTotal"])
            assert row.currency_code == item["proceeds"]["proceedsTotal"]["currencyCode"]
            assert row.item_amount == breakdown(item, "ITEM")
            assert row.tax_amount == breakdown(item, "TAX")
            assert row.shipping_amount == breakdown(item, "SHIPPING")
            titles.append(row.title)
    assert "Fire TV Stick 4K Max ストリーミングデバイス" in titles


def test_examples_mean_the_same_when_shown(examples: dict[str, dict[str, Any]], road: Road) -> None:
    assert {document["fulfillment"]["fulfillmentStatus"] for document in examples.values()} == {"SHIPPED"}
    for order_id, document in examples.items():
        shown = road.shown(order_id)
        assert shown.store_name == OWNERS[document["salesChannel"]["marketplaceId"]][1]
        assert shown.purchased_at == moment(document["createdTime"])
        assert shown.last_updated_at == moment(document["lastUpdatedTime"])
        assert shown.ship_by_at == moment(document["fulfillment"]["shipByWindow"]["latestDateTime"])
        assert shown.status == "Shipped"
        assert shown.fulfilled_by == document["fulfillment"]["fulfilledBy"]
        assert shown.grand_total_amount == money(document["proceeds"]["grandTotal"])
        assert shown.currency_code == document["proceeds"]["grandTotal"]["currencyCode"]


def test_examples_cost_the_same_when_created_in_commerce(examples: dict[str, dict[str, Any]], road: Road) -> None:
    for order_id, document in examples.items():
        (created,) = road.sandbox.commerce.order_by_ext_id(order_id)
        assert created["grand_total"] == money(document["proceeds"]["grandTotal"])
        assert created["order_currency_code"] == document["proceeds"]["grandTotal"]["currencyCode"]
        bought = {item["orderItemId"]: item["quantityOrdered"] for item in document["orderItems"]}
        assert {item["ext_order_item_id"]: item["qty_ordered"] for item in created["items"]} == bought
        assert len(created["increment_id"]) >= 9
    road.next_run()
    assert {road.shown(order_id).status for order_id in examples} == {"Completed"}
