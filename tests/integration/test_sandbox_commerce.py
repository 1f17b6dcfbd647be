"""The local Commerce, driven by pymagento and by bare requests: credentials, catalog, search, orders, shipments."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from magento import Magento
from magento.exceptions import MagentoException
from magento.queries import make_field_value_query, make_search_query

from local.sandbox.faults import Fault
from local.sandbox.servers import Sandbox
from tests.support.commerce_shop import TRACK, OAuth1, order_entity, pymagento, shop_scenario


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(shop_scenario) as running:
        yield running


@pytest.fixture(params=["bearer", "oauth1"])
def client(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Magento]:
    with pymagento(sandbox, request.param) as session:
        yield session


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {sandbox.commerce.seed.access_token}"}
    with httpx.Client(base_url=f"{sandbox.commerce_url}/rest", headers=headers, timeout=10) as session:
        yield session


def criteria(*filters: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """Query parameters of a search; each filter is a group of its own."""
    query: dict[str, Any] = {"searchCriteria": ""}
    for number, (field, value, condition) in enumerate(filters):
        prefix = f"searchCriteria[filter_groups][{number}][filters][0]"
        query |= {f"{prefix}[field]": field, f"{prefix}[value]": value, f"{prefix}[condition_type]": condition}
    return query | {f"searchCriteria[{name}]": value for name, value in more.items()}


def test_order_is_completed_when_pymagento_takes_it_the_whole_way(client: Magento, sandbox: Sandbox) -> None:
    saved = client.save_order(order_entity())
    order_id = saved["entity_id"]
    assert (saved["increment_id"], saved["status"]) == ("000000001", "pending")

    assert int(client.create_order_invoice(order_id, {"capture": True}, notify=False)) == 1
    invoiced = client.get_order(order_id)
    assert (invoiced["state"], invoiced["status"], invoiced["total_due"]) == ("processing", "processing", 0)
    assert invoiced["total_invoiced"] == 37.64

    lines = {item["ext_order_item_id"]: item["item_id"] for item in invoiced["items"]}
    track = {"track_number": "1Z1", "title": "UPS", "carrier_code": "ups"}
    sandbox.commerce.set_quantity("Teller-2", 1, Decimal(1))
    client.ship_order(order_id, {"items": [{"order_item_id": lines["item-1"], "qty": 2}], "tracks": [track]})
    assert client.get_order(order_id)["status"] == "processing"
    client.ship_order(order_id, {"tracks": [track | {"track_number": "1Z2"}]})
    assert client.get_order(order_id)["status"] == "complete"

    shipments = list(client.get_order_shipments(order_id))
    assert [[(i["order_item_id"], i["sku"], i["qty"]) for i in s["items"]] for s in shipments] == [
        [(lines["item-1"], "MUG-1", 2)],
        [(lines["item-2"], "Teller-2", 1)],
    ]
    assert [t["track_number"] for s in shipments for t in s["tracks"]] == ["1Z1", "1Z2"]
    assert sandbox.commerce.mails == []


def test_searches_find_everything_when_pymagento_pages(client: Magento, sandbox: Sandbox) -> None:
    for number in range(5):
        sandbox.commerce.add_order(order_entity(f"111-0000000-000000{number}"))
    orders = list(client.get_paginated("/V1/orders", page_size=2, fields="entity_id,ext_order_id"))
    assert [order["entity_id"] for order in orders] == [1, 2, 3, 4, 5]
    assert set(orders[0]) == {"entity_id", "ext_order_id"}
    found = list(client.get_orders(query=make_field_value_query("ext_order_id", "111-0000000-0000003")))
    assert [order["entity_id"] for order in found] == [4]
    wanted = make_search_query([[("sku", "teller-2", "eq"), ("sku", "A,B", "eq")]])
    assert [product["sku"] for product in client.get_products(query=wanted)] == ["Teller-2", "A,B"]
    assert client.get_product("mug-1")["extension_attributes"]["stock_item"]["qty"] == 10
    assert client.get_product("A,B")["id"] == 3
    assert [view["code"] for view in client.get_store_views()] == ["admin", "default", "de"]
    assert [website["code"] for website in client.get_websites()] == ["admin", "base", "eu"]
    assert [config["base_currency_code"] for config in client.get_store_configs(["de"])] == ["EUR"]


@pytest.mark.parametrize("value", ["plain", "x,y", "[x]&y=z", "ü ß 東京", "50% + 1/2", ""])
def test_signature_is_accepted_when_parameters_are_odd(sandbox: Sandbox, value: str) -> None:
    with pymagento(sandbox, "oauth1", scope="all") as client:
        assert list(client.get_products(query=make_field_value_query("sku", value))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "wrong"},
        {"resource_owner_secret": "wrong"},
        {"resource_owner_key": "wrong"},
        {"timestamp": "1700000000"},
        {"signature_method": "HMAC-SHA1"},
        {"signature_method": "PLAINTEXT"},
    ],
)
def test_signature_is_refused_when_it_is_wrong(sandbox: Sandbox, changes: dict[str, str]) -> None:
    with pymagento(sandbox, "oauth1") as client:
        client.auth = OAuth1(sandbox.commerce.seed, **changes)
        answer = client.get(f"{sandbox.commerce_url}/rest/V1/store/websites")
    assert answer.status_code == 401
    assert answer.json() == {
        "message": "The consumer isn't authorized to access %resources.",
        "parameters": {"resources": "Magento_Backend::store"},
    }


def test_signature_is_refused_when_it_is_replayed_or_moved(sandbox: Sandbox) -> None:
    with pymagento(sandbox, "oauth1") as client:
        url = f"{sandbox.commerce_url}/rest/V1/orders?searchCriteria%5BpageSize%5D=1"
        sent = client.get(url)
        assert sent.status_code == 200
        header = {"Authorization": sent.request.headers["Authorization"]}
    assert httpx.get(url, headers=header).status_code == 401
    assert httpx.get(url + "1", headers=header).status_code == 401
    assert httpx.get(url, headers={"Authorization": "OAuth nonsense"}).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.get(url).status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/V1/store/websites", 200),
        ("/default/V1/store/websites", 200),
        ("/all/V1/store/websites/", 200),
        ("/de/V1/store/websites", 200),
        ("/nowhere/V1/store/websites", 404),
        ("/V1/no/such/route", 404),
        ("/V1/orders/99", 404),
        ("/V1/products/NOPE", 404),
        ("/V1/orders", 400),
    ],
)
def test_route_answers_with_its_status_when_it_is_called(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()) <= {"message", "parameters"}


@pytest.mark.parametrize(("scope", "status"), [("default", 1), ("de", 2), ("all", 1)])
def test_product_has_the_status_of_the_view_when_asked_per_store_view(
    http: httpx.Client, scope: str, status: int
) -> None:
    fields = "items[id,sku,status,extension_attributes[website_ids]],total_count"
    answer = http.get(f"/{scope}/V1/products", params=criteria(("sku", "TELLER-2", "eq")) | {"fields": fields}).json()
    product = {"id": 2, "sku": "Teller-2", "status": status, "extension_attributes": {"website_ids": [1]}}
    assert answer == {"items": [product], "total_count": 1}


def test_salability_is_answered_per_sku_when_a_quantity_is_asked_for(http: httpx.Client) -> None:
    asked = {"MUG-1": "10", "Teller-2": "1", "OFF": "9", "GIFT-CARD": "99", "LATER": "99", "nope": "1", "mug-1": "11"}
    query: dict[str, Any] = {"stockId": 1}
    for number, (sku, quantity) in enumerate(asked.items()):
        query |= {f"skuRequests[{number}][sku]": sku, f"skuRequests[{number}][qty]": quantity}
    for path in (
        "/V1/inventory/are-product-salable-for-requested-qty",
        "/V1/inventory/are-product-salable-for-requested-qty/",
    ):
        answers = http.get(path, params=query).json()
        assert [(one["sku"], one["salable"]) for one in answers] == [
            ("MUG-1", True),
            ("Teller-2", False),
            ("OFF", True),  # a disabled product, and yet salable
            ("GIFT-CARD", True),
            ("LATER", True),
            ("nope", False),
            ("mug-1", False),
        ]
    codes = {one["sku"]: [error["code"] for error in one["errors"]] for one in answers}
    assert codes["nope"] == ["requested-sku-is-not-assigned-to-given-stock"]
    assert codes["mug-1"][-1] == "is_salable_with_reservations-not_enough_qty"
    assert "is_any_source_item_in_stock-no_source_items_in_stock" in codes["Teller-2"]
    refused = http.get(path, params={"stockId": 1, "skuRequests[0][sku]": "BUNDLE", "skuRequests[0][qty]": 1})
    assert refused.status_code == 400
    assert http.get("/V1/inventory/get-product-salable-quantity/MUG-1/2").json() == 3
    assert http.get("/V1/inventory/get-product-salable-quantity/nope/1").status_code == 400
    assert http.get("/V1/inventory/stock-resolver/website/eu").json()["stock_id"] == 2
    assert http.get("/V1/inventory/stock-resolver/website/nope").status_code == 404


@pytest.mark.parametrize(
    ("condition", "field", "value", "ids"),
    [
        ("eq", "ext_order_id", "b", [2]),
        ("neq", "ext_order_id", "B", [1, 3]),
        ("in", "entity_id", "1,3", [1, 3]),
        ("nin", "entity_id", "1,3", [2]),
        ("gt", "entity_id", "1", [2, 3]),
        ("gteq", "grand_total", "37.64", [1, 2, 3]),
        ("lt", "created_at", "2000-01-01 00:00:00", []),
        ("lteq", "entity_id", "2", [1, 2]),
        ("like", "ext_order_id", "%", [1, 2, 3]),
        ("like", "ext_order_id", "B_", []),
        ("null", "customer_note", "", [1, 3]),
        ("notnull", "customer_note", "", [2]),
        ("neq", "customer_note", "other", [2]),
    ],
)
def test_order_search_finds_matching_orders_when_conditions_differ(
    http: httpx.Client, sandbox: Sandbox, condition: str, field: str, value: str, ids: list[int]
) -> None:
    for ext_order_id, note in (("a", None), ("B", "hello"), ("c", None)):
        sandbox.commerce.add_order(order_entity(ext_order_id, customer_note=note))
    found = http.get("/V1/orders", params=criteria((field, value, condition))).json()
    assert [order["entity_id"] for order in found["items"]] == ids
    assert found["total_count"] == len(ids)


def test_order_search_finds_sorted_orders_when_groups_and_sorting_meet(http: httpx.Client, sandbox: Sandbox) -> None:
    for ext_order_id in "abcd":
        sandbox.commerce.add_order(order_entity(ext_order_id))
    query = criteria(("entity_id", "4", "lt"), ("status", "pending", "eq"))
    query |= {
        "searchCriteria[filterGroups][0][filters][1][field]": "ext_order_id",
        "searchCriteria[sortOrders][0][field]": "entity_id",
    }
    camel = {key.replace("filter_groups", "filterGroups"): value for key, value in query.items()}
    camel["searchCriteria[filterGroups][0][filters][1][value]"] = "d"
    found = http.get("/V1/orders", params=camel | {"searchCriteria[currentPage]": 1}).json()
    assert [order["entity_id"] for order in found["items"]] == [4, 3, 2, 1]
    assert http.get("/V1/orders", params=criteria(("no_such_column", "1", "eq"))).status_code == 500
    assert http.get("/V1/orders", params=criteria() | {"fields": "items(id)"}).json() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"billing_address": None}, "billing address"),
        ({"items": []}, "order items"),
        ({"customer_email": None}, "is required"),
        ({"items": [{"name": "no sku"}]}, "is required"),
        ({"grand_total": "much"}, "type is invalid"),
        ({"grand_totel": 1}, "accessor method"),
        ({"store_id": 77}, "store that was requested"),
        ({"payment": {"method": "purchaseorder", "additional_information": "text"}}, "type is invalid"),
        ({"payment": None}, "Payment Method"),
    ],
)
def test_new_order_is_refused_when_a_field_is_wrong(
    http: httpx.Client, sandbox: Sandbox, changes: dict[str, Any], words: str
) -> None:
    answer = http.post("/V1/orders", json={"entity": order_entity(**changes)})
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert sandbox.commerce.orders() == []


def test_missing_fields_are_named_when_an_address_lacks_them(http: httpx.Client, sandbox: Sandbox) -> None:
    entity = order_entity()
    entity["billing_address"] = {"firstname": "Zoë", "lastname": "Sandbox", "email": "not an address"}
    message = http.put("/V1/orders/create", json={"entity": entity}).json()["message"]
    assert "Zip code is a required field" in message and "Email has a wrong format" in message
    assert "Zoë" not in message
    assert sandbox.commerce.orders() == []


def test_body_is_refused_when_it_is_no_json(http: httpx.Client) -> None:
    assert http.post("/V1/orders", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert http.post("/V1/orders").status_code == 400


def test_one_order_per_store_gets_the_number_when_several_want_it_at_once(http: httpx.Client, sandbox: Sandbox) -> None:
    """One wins for each store; the others are refused by the unique key, and nothing of their orders is kept."""
    answers: list[httpx.Response] = []
    together = threading.Barrier(8)

    def create(number: int) -> None:
        together.wait()
        entity = order_entity(f"ext-{number}", increment_id="111-0000000-0000001", store_id=1 + number % 2)
        answers.append(
            httpx.post(f"{http.base_url}V1/orders", json={"entity": entity}, headers=http.headers, timeout=10)
        )

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [400] * 6
    assert {answer.json().get("message") for answer in answers} == {None, "Unique constraint violation found"}
    assert sorted(order["store_id"] for order in sandbox.commerce.orders()) == [1, 2]


def test_fault_strikes_its_operation_when_scripted_for_one(http: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    sandbox.commerce_faults.add(Fault("invoiceOrder", "throttle", retry_after=7))
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/V1/orders", json={"entity": order_entity()})
    assert len(sandbox.commerce.order_by_ext_id("111-0000000-0000001")) == 1
    throttled = http.post("/V1/order/1/invoice", json={})
    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "7")
    sandbox.commerce_faults.add(Fault("searchShipments", "expired_token"))
    assert http.get("/V1/shipments", params=criteria()).status_code == 401


def test_seed_changes_the_shop_when_its_time_has_come(http: httpx.Client, sandbox: Sandbox) -> None:
    assert http.get("/V1/products/NEW").status_code == 404
    sandbox.clock.advance(timedelta(minutes=11))
    assert http.get("/V1/products/NEW").json()["name"] == "New"
    assert http.get("/V1/products/OFF").json()["status"] == 1
    assert sandbox.commerce.salable_quantity("OFF", 1) == 4
    sandbox.commerce.add_order(order_entity("111-0000000-0000009"))
    for _ in range(3):  # the warehouse waits for the order, and then ships once
        shipments = http.get("/V1/shipments", params=criteria(("order_id", "1", "in"))).json()["items"]
    assert [(s["total_qty"], s["tracks"][0]["track_number"]) for s in shipments] == [(1, "1Z999")]


def test_state_is_the_same_when_it_is_stored_and_restored(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.commerce.add_order(order_entity("111-0000000-0000009"))
    sandbox.clock.advance(timedelta(minutes=11))
    assert sandbox.commerce.play() and not sandbox.commerce.play()
    sandbox.commerce.set_quantity("Teller-2", 1, Decimal("1.5"))
    sandbox.commerce.ship("111-0000000-0000009", None, [TRACK])
    before = sandbox.commerce.snapshot()
    with Sandbox(shop_scenario(sandbox.started_at), clock=sandbox.clock) as other:
        other.commerce.restore(before)
        assert other.commerce.snapshot() == before
        assert other.commerce.orders() == sandbox.commerce.orders()
        assert len(other.commerce.shipments()) == 2
        assert other.commerce.salable_quantity("Teller-2", 1) == Decimal("1.5")
        assert other.commerce.add_order(order_entity("next"))["increment_id"] == "000000002"


def test_admin_page_shows_the_order_when_it_is_looked_at(sandbox: Sandbox, http: httpx.Client) -> None:
    entity = order_entity(customer_firstname="<b>Zoë</b>", customer_lastname="Sandbox")
    sandbox.commerce.add_order(entity)
    sandbox.commerce.ship("111-0000000-0000001", {"item-1": Decimal(1)}, [TRACK])
    page = httpx.get(f"{sandbox.commerce_url}/admin/sales/order/view/order_id/1")
    assert page.headers["content-type"].startswith("text/html")
    for words in ("#000000001", "processing", "111-0000000-0000001", "37.64", "UPS: 1Z999", "&lt;b&gt;Zoë"):
        assert words in page.text
    assert "/admin/sales/order/view/order_id/1" in httpx.get(f"{sandbox.commerce_url}/admin").text
    assert httpx.get(f"{sandbox.commerce_url}/admin/sales/order/view/order_id/9").status_code == 404


def test_pymagento_raises_an_error_when_commerce_refuses(client: Magento) -> None:
    with pytest.raises(MagentoException, match="sku"):
        client.save_order(order_entity(items=[{"name": "no sku"}]))
