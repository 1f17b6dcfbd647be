"""The Commerce client reads, writes and authorizes its requests against the local Commerce."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote, unquote

import httpx
import pytest

from include.adapters.commerce.auth import build_auth
from include.adapters.commerce.changes import shipments_of
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CatalogProduct, Salability, ShipmentItem, StoreView
from include.adapters.commerce.search import batches
from include.domain.errors import MisconfiguredError, NotFoundError, RefusedError
from local.sandbox.servers import Sandbox
from tests.support.commerce_client_fixtures import (
    AMAZON_ORDER_ID,
    BEARER,
    OAUTH,
    ODD_SKUS,
    PATIENT,
    calls,
    client,
    connect,
    create,
    entity,
    sandbox,
    servers,
)

__all__ = ["calls", "client", "connect", "sandbox", "servers"]  # fixtures: the tests name them as arguments


# Reading


def test_store_views_are_read_once_when_asked_for_twice(client: CommerceClient, sandbox: Sandbox) -> None:
    views = client.store_views()
    assert views == client.store_views()
    assert set(views) == {"default", "second", "german"}
    assert views["german"] == StoreView(3, "german", 2, "eu_site", "EUR", 2)
    assert sandbox.commerce_faults.calls["storeViews"] == 1
    assert sandbox.commerce_faults.calls["stockResolver"] == 2


def test_error_names_the_connection_when_the_host_is_not_a_shop(
    connect: Callable[..., CommerceClient], sandbox: Sandbox
) -> None:
    with pytest.raises(MisconfiguredError, match="commerce_api"):
        connect(host=f"{sandbox.commerce_url}/elsewhere").store_views()


@pytest.mark.parametrize("extra", [OAUTH, BEARER], ids=["oauth1", "bearer"])
def test_products_are_found_when_their_skus_are_odd(
    connect: Callable[..., CommerceClient], extra: dict[str, str]
) -> None:
    wanted = [*ODD_SKUS, "plain-1", "PLAIN-1", "nowhere", "no,where", ""]
    found = connect(extra).products("default", wanted)
    assert set(found) == {*ODD_SKUS, "plain-1", "PLAIN-1"}
    assert {found[sku].sku for sku in ODD_SKUS} == set(ODD_SKUS)
    assert found["plain-1"] == CatalogProduct(
        30, "Plain-1", "Name of Plain-1", True, "simple", Decimal("9.99"), Decimal(1), (1,)
    )
    assert type(found["plain-1"].price) is Decimal


def test_product_is_enabled_elsewhere_when_it_is_disabled_in_one_view(client: CommerceClient) -> None:
    assert client.products("default", ["half"])["half"].is_enabled
    assert not client.products("second", ["half"])["half"].is_enabled


def test_products_are_read_in_batches_when_there_are_many(client: CommerceClient, sandbox: Sandbox) -> None:
    wanted = {f"BULK-{number:03}" for number in range(120)}
    assert set(client.products("default", wanted)) == wanted
    assert sandbox.commerce_faults.calls["searchProducts"] == 3


def test_no_call_is_made_when_no_product_is_wanted(client: CommerceClient, sandbox: Sandbox) -> None:
    assert client.products("default", []) == {}
    assert not sandbox.commerce_faults.calls


def test_products_are_salable_as_far_as_stock_reaches_when_quantities_differ(client: CommerceClient) -> None:
    wanted = {
        **dict.fromkeys(ODD_SKUS, Decimal(5)),
        "plain-1": Decimal("5.5"),
        "half": Decimal(1),
        "nowhere": Decimal(1),
    }
    expected = {**dict.fromkeys(ODD_SKUS, True), "plain-1": False, "half": True, "nowhere": False}
    found = {sku: answer is not None and answer.is_enough for sku, answer in client.salable(1, wanted).items()}
    assert found == expected


def test_salability_is_asked_for_in_batches_when_there_are_many_products(
    client: CommerceClient, sandbox: Sandbox
) -> None:
    wanted = {f"BULK-{number:03}": Decimal(1) for number in range(120)}
    assert client.salable(1, wanted) == dict.fromkeys(wanted, Salability(is_enough=True, codes=frozenset()))
    assert sandbox.commerce_faults.calls["areSalableForQty"] == 3


@pytest.mark.parametrize("sku", [sku for sku in ODD_SKUS if "/" not in sku])
def test_salable_quantity_is_found_when_skus_are_odd(client: CommerceClient, sandbox: Sandbox, sku: str) -> None:
    sandbox.commerce.set_quantity(sku, 1, Decimal("7.25"))
    assert client.salable_quantity(sku, 1) == Decimal("7.25")


@pytest.mark.parametrize("units", [0, 1, 2, 7, 8, 1000])
def test_salable_quantity_is_found_with_few_calls_when_the_sku_has_a_slash(
    client: CommerceClient, sandbox: Sandbox, units: int
) -> None:
    sandbox.commerce.set_quantity("shirt/red", 1, Decimal(units))
    assert client.salable_quantity("shirt/red", 1) == units
    assert sandbox.commerce_faults.calls["areSalableForQty"] < 25


def test_salable_quantity_is_refused_when_the_product_is_unknown(client: CommerceClient) -> None:
    with pytest.raises(RefusedError):
        client.salable_quantity("nowhere", 1)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 205])
def test_orders_are_found_once_when_the_last_page_repeats(client: CommerceClient, sandbox: Sandbox, count: int) -> None:
    for _ in range(count):
        sandbox.commerce.add_order(entity())
    sandbox.commerce.add_order(entity("999-0000000-0000000"))
    found = client.find_orders(ext_order_id=AMAZON_ORDER_ID)
    ids = [int(order.order_id) for order in found]
    assert len(ids) == len(set(ids)) == count
    assert ids == sorted(ids)
    assert sandbox.commerce_faults.calls["searchOrders"] == max(1, -(-count // 100))


def test_order_search_is_refused_when_no_id_is_given(client: CommerceClient) -> None:
    with pytest.raises(ValueError, match="increment_id"):
        client.find_orders(store_id=1)


def test_order_is_not_found_when_there_is_none(client: CommerceClient) -> None:
    with pytest.raises(NotFoundError):
        client.order("999")


def test_customer_id_is_none_when_there_is_no_customer(client: CommerceClient) -> None:
    assert client.customer_id("someone@example.com", 1) is None


# Writing


@pytest.mark.parametrize("extra", [OAUTH, BEARER], ids=["oauth1", "bearer"])
def test_order_is_created_and_found_when_it_is_new(
    connect: Callable[..., CommerceClient], sandbox: Sandbox, extra: dict[str, str]
) -> None:
    client = connect(extra)
    before = sandbox.clock.now() - timedelta(seconds=1)
    created = create(client, AMAZON_ORDER_ID, "amazon")
    assert (created.number, created.ext_order_id, created.store_id) == (AMAZON_ORDER_ID, AMAZON_ORDER_ID, 1)
    assert (created.state, created.status, created.currency) == ("new", "pending", "USD")
    assert (created.grand_total, created.total_invoiced) == (Decimal("21.98"), Decimal(0))
    assert before.replace(microsecond=0) <= created.created_at <= sandbox.clock.now()
    assert set(created.item_ids) == {"item-1", "item-2"}
    assert client.find_orders(ext_order_id=AMAZON_ORDER_ID) == [created]
    assert client.find_orders(increment_id=AMAZON_ORDER_ID, store_id=1) == [created]
    assert client.find_orders(increment_id=AMAZON_ORDER_ID, store_id=2) == []
    assert client.order(created.order_id) == created
    [kept] = sandbox.commerce.order_by_ext_id(AMAZON_ORDER_ID)
    assert kept["payment"]["po_number"] == AMAZON_ORDER_ID
    assert sandbox.commerce.mails == []


def test_order_is_refused_as_a_duplicate_when_the_number_is_taken(client: CommerceClient, sandbox: Sandbox) -> None:
    create(client, AMAZON_ORDER_ID, "amazon")
    with pytest.raises(RefusedError) as caught:
        create(client, AMAZON_ORDER_ID, "amazon")
    assert caught.value.code == "duplicate"
    assert AMAZON_ORDER_ID in str(caught.value)
    assert len(sandbox.commerce.orders()) == 1


def test_error_gives_the_reason_when_commerce_refuses_an_order(client: CommerceClient, sandbox: Sandbox) -> None:
    with pytest.raises(RefusedError) as caught:
        create(client, items=[])
    assert caught.value.code == "400"
    assert caught.value.reason
    assert "%" not in caught.value.reason
    assert sandbox.commerce.orders() == []


def test_invoice_is_refused_when_it_is_repeated(client: CommerceClient, sandbox: Sandbox) -> None:
    created = create(client)
    assert client.invoice(created.order_id).isdigit()
    invoiced = client.order(created.order_id)
    assert (invoiced.state, invoiced.total_invoiced) == ("processing", Decimal("21.98"))
    with pytest.raises(RefusedError):
        client.invoice(created.order_id)
    assert sandbox.commerce.mails == []


def test_only_the_status_changes_when_it_is_set_twice(client: CommerceClient, sandbox: Sandbox) -> None:
    created = create(client)
    for _ in range(2):
        client.set_status(created, state="complete", status="complete")
    found = client.order(created.order_id)
    assert (found.state, found.status) == ("complete", "complete")
    assert found.number == created.number
    assert replace(found, state=created.state, status=created.status) == created
    assert len(sandbox.commerce.orders()) == 1


def test_all_shipments_are_found_when_there_are_many_orders(client: CommerceClient, sandbox: Sandbox) -> None:
    ids = [str(sandbox.commerce.add_order(entity(f"700-0000000-{number:07}"))["entity_id"]) for number in range(120)]
    sandbox.commerce.set_quantity("Plain-1", 1, Decimal(1000))
    for number in (0, 60, 119):
        sandbox.commerce.ship(f"700-0000000-{number:07}", None, [("ups", "UPS", f"1Z{number}")])
    sandbox.commerce.ship("700-0000000-0000001", {"item-1": Decimal(1)}, [("ups", "UPS", "A"), ("dhl", "DHL", "B")])
    found = [each for batch in batches(ids) for each in shipments_of(client, batch)]
    assert [each.commerce_order_id for each in found] == [ids[number] for number in (0, 1, 60, 119)]
    partial = found[1]
    assert partial.items == (ShipmentItem(client.order(ids[1]).item_ids["item-1"], Decimal(1)),)
    assert [(track.tracking_number, track.carrier_code, track.carrier_title) for track in partial.tracks] == [
        ("A", "ups", "UPS"),
        ("B", "dhl", "DHL"),
    ]
    assert sandbox.commerce_faults.calls["searchShipments"] == 3


# Authorization


@pytest.mark.parametrize("extra", [OAUTH | {"consumer_secret": "wrong"}, BEARER | {"access_token": "wrong"}])
def test_error_names_the_connection_when_credentials_are_wrong(
    connect: Callable[..., CommerceClient], extra: dict[str, str]
) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        connect(extra).store_views()
    assert "commerce_api" in str(caught.value)
    assert "has the right Stores > Settings > All Stores (Magento_Backend::store)" in str(caught.value)
    assert "check the credentials in the connection and this machine's clock" in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({}, ["consumer_key", "consumer_secret", "access_token", "access_token_secret"]),
        ({"auth": "oauth1", "consumer_key": "top-secret"}, ["consumer_secret"]),
        ({"auth": "bearer"}, ["access_token"]),
        ({"auth": "ims", "client_id": "top-secret"}, ["token_url", "client_secret", "org_id"]),
        ({"auth": "top-secret"}, ["oauth1, bearer, ims"]),
        (
            {"auth": "ims", "token_url": "http://ims.example", "client_id": "a", "client_secret": "b", "org_id": "c"},
            ["plain http"],
        ),
    ],
)
def test_error_names_the_keys_when_the_extra_is_wrong(extra: dict[str, str], named: list[str]) -> None:
    with pytest.raises(MisconfiguredError, match="commerce_api") as caught:
        build_auth(extra, "commerce_api", record=lambda call: None, timeouts=PATIENT)
    assert all(name in str(caught.value) for name in named)
    assert "top-secret" not in str(caught.value)


def test_client_is_refused_when_its_edition_is_unknown(connect: Callable[..., CommerceClient]) -> None:
    with pytest.raises(MisconfiguredError, match="edition"):
        connect(edition="cloud")


def test_signature_is_right_when_the_query_is_odd() -> None:
    """RFC 5849, 3.4, worked out again by hand."""
    pairs = [
        ("searchCriteria[filter_groups][0][value]", "a,b c/ü%&=+"),
        ("b", "1"),
        ("a", "2"),
        ("a", "1"),
        ("empty", ""),
    ]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    request = httpx.Request("GET", f"https://Shop.example:443/rest/all/V1/products/a%2Fb?{query}")
    headers = []
    for _ in range(2):
        flow = build_auth(OAUTH, "commerce_api", record=lambda call: None, timeouts=PATIENT).sync_auth_flow(request)
        headers.append(next(flow).headers["Authorization"])
    assert headers[0] != headers[1]  # a nonce is good for one request
    kind, _, rest = headers[0].partition(" ")
    assert kind == "OAuth"
    given = {name: unquote(value.strip('"')) for name, value in (part.split("=", 1) for part in rest.split(", "))}
    signature = given.pop("oauth_signature")
    assert given["oauth_signature_method"] == "HMAC-SHA256"

    def escape(text: str) -> str:
        return quote(text, safe="~")

    signed = sorted((escape(name), escape(value)) for name, value in [*pairs, *given.items()])
    normalized = "&".join(f"{name}={value}" for name, value in signed)
    base = "&".join(["GET", escape("https://shop.example/rest/all/V1/products/a%2Fb"), escape(normalized)])
    key = f"{escape(OAUTH['consumer_secret'])}&{escape(OAUTH['access_token_secret'])}"
    expected = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest()).decode()
    assert signature == expected
