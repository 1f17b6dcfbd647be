"""The known defects and hard edges of Commerce, one test each, and its answers against Adobe's OpenAPI documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pytest

from local.sandbox.servers import Sandbox
from tests.support.commerce_shop import TRACK, order_entity, shop_scenario
from tests.support.models import MODELS, needs_models

EXT = "111-0000000-0000001"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(shop_scenario) as running:
        yield running


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {sandbox.commerce.seed.access_token}"}
    with httpx.Client(base_url=f"{sandbox.commerce_url}/rest/default/V1", headers=headers, timeout=10) as session:
        yield session


def orders_page(http: httpx.Client, size: int, page: int) -> dict[str, Any]:
    query = {"searchCriteria[pageSize]": size, "searchCriteria[currentPage]": page}
    answer: dict[str, Any] = http.get("/orders", params=query).json()
    return answer


def test_last_page_is_repeated_when_the_page_is_out_of_range(http: httpx.Client, sandbox: Sandbox) -> None:
    assert orders_page(http, 2, 5)["items"] == []
    for number in range(3):
        sandbox.commerce.add_order(order_entity(f"ext-{number}"))
    for page in (2, 3, 99):
        answer = orders_page(http, 2, page)
        assert ([order["entity_id"] for order in answer["items"]], answer["total_count"]) == ([3], 3)


def test_in_filter_finds_nothing_when_a_sku_contains_a_comma(http: httpx.Client) -> None:
    prefix = "searchCriteria[filter_groups][0][filters][0]"
    query = {f"{prefix}[field]": "sku", f"{prefix}[value]": "A,B", f"{prefix}[condition_type]": "in"}
    assert http.get("/products", params=query).json()["total_count"] == 0
    assert http.get("/products", params=query | {f"{prefix}[condition_type]": "eq"}).json()["total_count"] == 1


def test_product_search_gives_no_stock_when_it_is_wanted(http: httpx.Client) -> None:
    found = http.get("/products", params={"searchCriteria": ""}).json()["items"]
    assert found and all("stock_item" not in product["extension_attributes"] for product in found)


def test_two_orders_are_created_when_the_same_external_id_comes_twice(http: httpx.Client, sandbox: Sandbox) -> None:
    numbers = [http.post("/orders", json={"entity": order_entity()}).json()["increment_id"] for _ in range(2)]
    assert numbers == ["000000001", "000000002"]
    assert len(sandbox.commerce.order_by_ext_id(EXT)) == 2


@pytest.mark.parametrize(("length", "status"), [(32, 200), (33, 500)])
def test_order_fails_when_the_external_id_is_too_long(http: httpx.Client, length: int, status: int) -> None:
    answer = http.post("/orders", json={"entity": order_entity("x" * length)})
    assert answer.status_code == status
    assert status == 200 or answer.json()["message"].startswith("Internal Error")


def test_number_is_unique_per_store_when_it_is_the_callers_own(http: httpx.Client, sandbox: Sandbox) -> None:
    assert http.post("/orders", json={"entity": order_entity(increment_id=EXT)}).json()["increment_id"] == EXT
    refused = http.post("/orders", json={"entity": order_entity("other", increment_id=EXT)})
    assert (refused.status_code, refused.json()["message"]) == (400, "Unique constraint violation found")
    elsewhere = http.post("/orders", json={"entity": order_entity("other", increment_id=EXT, store_id=2)})
    assert elsewhere.status_code == 200
    assert sandbox.commerce.add_order(order_entity("third", store_id=2))["increment_id"] == "2000000001"


def test_order_is_renumbered_when_an_update_does_not_repeat_its_number(http: httpx.Client, sandbox: Sandbox) -> None:
    created = sandbox.commerce.add_order(order_entity(increment_id=EXT))
    kept = {"entity_id": 1, "increment_id": EXT, "status": "amazon"}
    assert http.post("/orders", json={"entity": kept}).json()["increment_id"] == EXT
    renumbered = http.post("/orders", json={"entity": {"entity_id": 1, "status": "amazon_2"}}).json()
    assert renumbered["increment_id"] == "000000001"
    now = sandbox.commerce.orders()[0]
    assert now == created | {"increment_id": "000000001", "status": "amazon_2", "updated_at": now["updated_at"]}
    assert http.post("/orders", json={"entity": {"entity_id": 9, "increment_id": "x"}}).status_code == 404


def test_stock_that_was_never_taken_is_given_back_when_an_order_is_shipped_or_canceled(
    http: httpx.Client, sandbox: Sandbox
) -> None:
    """Creation reserves nothing, shipping gives back what was never taken, cancelling even more."""
    shop = sandbox.commerce
    shop.set_quantity("Teller-2", 1, Decimal(1))
    shop.add_order(order_entity())
    assert shop.salable_quantity("MUG-1", 1) == 10
    assert http.post("/order/1/ship", json={}).status_code == 200
    product = shop.catalog.find("MUG-1")
    assert product is not None and product.quantities[1] == 8
    assert shop.salable_quantity("MUG-1", 1) == 10
    shop.add_order(order_entity("second"))
    assert http.post("/orders/2/cancel").json() is True
    assert shop.salable_quantity("MUG-1", 1) == 12
    assert [order["status"] for order in shop.orders()] == ["processing", "canceled"]


@pytest.mark.parametrize("change", [{"website_ids": (2,)}, {"status": 2}, {"quantities": {}}])
def test_order_is_accepted_when_its_product_cannot_be_sold(
    http: httpx.Client, sandbox: Sandbox, change: dict[str, Any]
) -> None:
    """Commerce's API looks at no product: what its checkout would refuse has to be found before."""
    sandbox.commerce.set_product("MUG-1", **change)
    assert http.post("/orders", json={"entity": order_entity()}).status_code == 200


def test_shipment_is_refused_when_the_shelf_is_empty(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    refused = http.post("/order/1/ship", json={})
    assert (refused.status_code, refused.json()["message"][:25]) == (400, "Could not save a shipment")
    assert sandbox.commerce.salable_quantity("MUG-1", 1) == 10
    assert sandbox.commerce.shipments() == []


def test_cancellation_is_refused_when_the_order_is_invoiced(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    http.post("/order/1/invoice", json={})
    answer = http.post("/orders/1/cancel")
    assert (answer.status_code, answer.json()) == (200, False)


def test_invoice_is_refused_when_it_comes_twice(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    first = http.post("/order/1/invoice", json={"capture": True, "notify": False})
    assert first.json() == 1
    second = http.post("/order/1/invoice", json={"capture": True, "notify": False})
    assert second.status_code == 400
    assert "does not allow an invoice" in second.json()["message"]
    assert sandbox.commerce.mails == []


def test_invoices_add_up_to_the_cent_when_the_first_is_partial(http: httpx.Client, sandbox: Sandbox) -> None:
    """The first invoice takes the shipping charge, the last one the rest, to the cent."""
    entity = order_entity()
    for prefix in ("", "base_"):  # a tax that two mugs cannot share evenly
        entity["items"][0][f"{prefix}tax_amount"] = 2.01
        for name, amount in (("tax_amount", 2.65), ("grand_total", 37.65), ("total_due", 37.65)):
            entity[prefix + name] = amount
    sandbox.commerce.add_order(entity)
    one_mug = {"items": [{"order_item_id": 1, "qty": 1}]}
    http.post("/order/1/invoice", json=one_mug)
    order = sandbox.commerce.orders()[0]
    assert order["total_invoiced"] == Decimal("17.01")  # 12.50 + 1.01 tax - 1.50 discount + 5.00 shipping
    assert (order["state"], order["items"][0]["qty_invoiced"]) == ("processing", 1)
    assert http.post("/order/1/invoice", json={"items": [{"order_item_id": 1, "qty": 2}]}).status_code == 400
    assert http.post("/order/1/invoice", json={"items": [{"order_item_id": 77, "qty": 1}]}).status_code == 400
    http.post("/order/1/invoice", json={})
    order = sandbox.commerce.orders()[0]
    assert (order["total_invoiced"], order["base_total_invoiced"], order["total_due"]) == (
        Decimal("37.65"),
        Decimal("37.65"),
        0,
    )


def test_custom_status_is_overwritten_when_the_order_is_invoiced(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity(status="amazon_new"))
    http.post("/order/1/invoice", json={})
    assert sandbox.commerce.orders()[0]["status"] == "processing"


@pytest.mark.parametrize("missing", ["base_subtotal", "total_due", "base_total_due"])
def test_invoice_is_refused_when_the_order_lacks_amounts(http: httpx.Client, sandbox: Sandbox, missing: str) -> None:
    sandbox.commerce.add_order(order_entity(**{missing: None}))
    refused = http.post("/order/1/invoice", json={})
    assert (refused.status_code, refused.json()["message"][:25]) == (400, "Could not save an invoice")
    assert sandbox.commerce.orders()[0]["state"] == "new"


def test_invoice_completes_the_order_when_everything_is_shipped_already(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.set_quantity("Teller-2", 1, Decimal(1))
    sandbox.commerce.add_order(order_entity())
    sandbox.commerce.ship(EXT, None, [TRACK])
    assert sandbox.commerce.orders()[0]["status"] == "processing"
    http.post("/order/1/invoice", json={})
    assert sandbox.commerce.orders()[0]["status"] == "complete"


def test_no_unit_is_shipped_when_the_order_is_completed_without_a_shipment(
    http: httpx.Client, sandbox: Sandbox
) -> None:
    sandbox.commerce.add_order(order_entity(increment_id=EXT))
    http.post("/order/1/invoice", json={})
    update = {"entity_id": 1, "increment_id": EXT, "state": "complete", "status": "complete"}
    done = http.post("/orders", json={"entity": update}).json()
    assert (done["state"], done["status"], done["items"][0]["qty_shipped"]) == ("complete", "complete", 0)
    assert sandbox.commerce.salable_quantity("MUG-1", 1) == 10


def test_shipment_is_refused_when_its_body_is_wrong(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    too_many = {"items": [{"order_item_id": 1, "qty": 3}]}
    nameless = {"items": [{"order_item_id": 1, "qty": 1}], "tracks": [{"carrier_code": "ups", "title": "UPS"}]}
    foreign = {"items": [{"order_item_id": 77, "qty": 1}]}
    for body, words in ((too_many, "invalid quantity"), (nameless, "tracking number"), (foreign, "not found item")):
        answer = http.post("/order/1/ship", json=body)
        assert answer.status_code == 400
        assert words in answer.json()["message"]
    assert sandbox.commerce.shipments() == []


def test_shipment_keeps_its_update_time_when_a_track_is_added_later(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    sandbox.commerce.ship(EXT, {"item-1": Decimal(1)}, [])
    before = http.get("/shipment/1").json()
    sandbox.clock.advance(timedelta(hours=1))
    track = {"order_id": 1, "parent_id": 1, "track_number": "L1", "title": "DHL", "carrier_code": "dhl"}
    added = http.post("/shipment/track", json={"entity": track})
    assert added.status_code == 200
    sandbox.commerce.add_track(1, ("ups", "UPS", "L2"))
    after = http.get("/shipment/1").json()
    assert [each["track_number"] for each in after["tracks"]] == ["L1", "L2"]
    assert after["updated_at"] == before["updated_at"]
    assert http.post("/shipment/track", json={"entity": track | {"order_id": 2}}).status_code == 400


def test_mails_are_sent_when_somebody_notifies(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce.add_order(order_entity())
    http.post("/order/1/invoice", json={"notify": True})
    http.post("/order/1/ship", json={"notify": True, "items": [{"order_item_id": 1, "qty": 1}]})
    comment = {"comment": "note", "is_customer_notified": 1, "is_visible_on_front": 0, "parent_id": 1}
    assert http.post("/orders/1/comments", json={"statusHistory": comment}).json() is True
    assert [mail["kind"] for mail in sandbox.commerce.mails] == ["invoice", "shipment", "comment"]
    assert http.get("/orders/1/comments").json()["items"][0]["comment"] == "note"


def test_shipping_assignments_are_empty_when_the_order_has_none(sandbox: Sandbox) -> None:
    order = sandbox.commerce.add_order(order_entity(extension_attributes=None))
    assert order["extension_attributes"]["shipping_assignments"] == []


def test_customer_is_found_when_one_is_added(http: httpx.Client, sandbox: Sandbox) -> None:
    prefix = "searchCriteria[filter_groups][0][filters][0]"
    query = {f"{prefix}[field]": "email", f"{prefix}[value]": "ZOE@example.com"}
    assert http.get("/customers/search", params=query).json()["items"] == []
    sandbox.commerce.add_customer(email="zoe@example.com", firstname="Zoë", lastname="Sandbox", website_id=1)
    assert http.get("/customers/search", params=query).json()["items"][0]["id"] == 1


def _nullable(node: Any) -> Any:
    """Adobe's schema knows no nulls, yet its own examples hold them (`account_status`, `cc_last4`)."""
    if isinstance(node, list):
        return [_nullable(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    loose = {key: _nullable(value) for key, value in node.items()}
    if isinstance(node.get("type"), str) and node["type"] not in ("object", "array"):
        loose["type"] = [node["type"], "null"]
    return loose


@needs_models
@pytest.mark.parametrize("version", ["2.4.6", "2.4.9"])
def test_answers_fit_adobes_schema_when_validated(http: httpx.Client, sandbox: Sandbox, version: str) -> None:
    model = json.loads((MODELS / "commerce" / f"openapi-admin-{version}-subset.json").read_text())
    definitions = _nullable(model["definitions"])
    sandbox.commerce.add_customer(email="zoe@example.com", firstname="Zoë", lastname="Sandbox", website_id=1)
    histories = [{"comment": "first", "is_customer_notified": 0, "is_visible_on_front": 0, "parent_id": 0}]
    everything = {"searchCriteria[pageSize]": 9}
    salable = {"stockId": 1, "skuRequests[0][sku]": "Teller-2", "skuRequests[0][qty]": 1}
    track = {"order_id": 1, "parent_id": 1, "track_number": "L1", "title": "DHL", "carrier_code": "dhl"}
    ship = {"items": [{"order_item_id": 1, "qty": 1}], "tracks": [track], "comment": {"comment": "sent"}}
    stock = "/inventory/stock-resolver"
    calls: list[tuple[str, str, str, Any]] = [
        ("post", "/orders", "/V1/orders", {"entity": order_entity(status_histories=histories)}),
        ("put", "/orders/create", "/V1/orders/create", {"entity": order_entity("second")}),
        ("post", "/order/1/invoice", "/V1/order/{orderId}/invoice", {}),
        ("post", "/order/1/ship", "/V1/order/{orderId}/ship", ship),
        ("post", "/shipment/track", "/V1/shipment/track", {"entity": track}),
        ("get", "/orders", "/V1/orders", everything),
        ("get", "/orders/1", "/V1/orders/{id}", None),
        ("get", "/orders/1/comments", "/V1/orders/{id}/comments", None),
        ("get", "/shipments", "/V1/shipments", everything),
        ("get", "/shipment/1", "/V1/shipment/{id}", None),
        ("get", "/products", "/V1/products", everything),
        ("get", "/products/MUG-1", "/V1/products/{sku}", None),
        ("get", "/store/storeViews", "/V1/store/storeViews", None),
        ("get", "/store/websites", "/V1/store/websites", None),
        ("get", "/store/storeConfigs", "/V1/store/storeConfigs", None),
        ("get", f"{stock}/website/base", f"/V1{stock}/{{type}}/{{code}}", None),
        (
            "get",
            "/inventory/are-product-salable-for-requested-qty/",
            "/V1/inventory/are-product-salable-for-requested-qty/",
            salable,
        ),
        (
            "get",
            "/inventory/get-product-salable-quantity/MUG-1/1",
            "/V1/inventory/get-product-salable-quantity/{sku}/{stockId}",
            None,
        ),
        ("get", "/customers/search", "/V1/customers/search", everything),
        ("post", "/orders/2/cancel", "/V1/orders/{id}/cancel", {}),
    ]
    for method, path, template, content in calls:
        answer = http.request(method, path, **{"params" if method == "get" else "json": content})
        assert answer.status_code == 200, (path, answer.text)
        schema = model["paths"][template][method]["responses"]["200"]["schema"]
        jsonschema.Draft4Validator(schema | {"definitions": definitions}).validate(answer.json())
