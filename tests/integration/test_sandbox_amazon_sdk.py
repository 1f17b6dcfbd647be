"""Amazon's own Python SDK works with the local Amazon."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from local.sandbox.scenario import EUROPE, build
from local.sandbox.scenario.orders import DE, UK, order_id
from local.sandbox.seeds import AmazonApplication
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import LAG, shipment

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's source has invalid escape sequences
    from spapi import ApiException, SPAPIClient, SPAPIConfig
    from spapi.api.orders_v0.orders_v0_api import OrdersV0Api
    from spapi.api.orders_v2026_01_01.get_order_api import GetOrderApi
    from spapi.api.orders_v2026_01_01.search_orders_api import SearchOrdersApi


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(build, enforce_rate_limits=False) as running:
        yield running


def sdk(sandbox: Sandbox, application: AmazonApplication) -> Any:
    config = SPAPIConfig(application.client_id, application.client_secret, application.refresh_token)
    client = SPAPIClient(config, f"{sandbox.amazon_url}/auth/o2/token", sandbox.amazon_url)
    return client.api_client


def test_every_order_is_found_once_when_amazons_sdk_reads_three_pages(sandbox: Sandbox) -> None:
    api = SearchOrdersApi(sdk(sandbox, EUROPE))
    request = {
        "last_updated_after": "2020-01-01T00:00:00Z",
        "marketplace_ids": [DE.marketplace_id, UK.marketplace_id],
        "included_data": ["FULFILLMENT", "PROCEEDS", "BUYER"],
        "max_results_per_page": 4,
    }
    pages = [api.search_orders(**request)]
    while pages[-1].pagination is not None:
        pages.append(api.search_orders(**request, pagination_token=pages[-1].pagination.next_token))
    found = [order.order_id for page in pages for order in page.orders]
    expected = {order["orderId"] for order in sandbox.amazon.listed(EUROPE.seller_id)}
    assert len(pages) >= 3
    assert [len(page.orders) for page in pages[:-1]] == [4] * (len(pages) - 1)
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert pages[0].last_updated_before == pages[-1].last_updated_before


def test_order_is_shipped_when_amazons_sdk_confirms_it(sandbox: Sandbox) -> None:
    api_client = sdk(sandbox, EUROPE)
    slug = "uk-mapped-sku"
    OrdersV0Api(api_client).confirm_shipment(order_id(slug), shipment(slug, UK.marketplace_id))
    sandbox.clock.advance(LAG)
    order = GetOrderApi(api_client).get_order(order_id(slug), included_data=["FULFILLMENT", "PACKAGES"]).order
    assert order.fulfillment.fulfillment_status == "SHIPPED"
    assert [package.tracking_number for package in order.packages] == ["00340000000000000001"]
    with pytest.raises(ApiException) as refused:
        OrdersV0Api(api_client).confirm_shipment(order_id(slug), shipment(slug, UK.marketplace_id, "2"))
    assert refused.value.status == 400
    assert "PackageToUpdateNotFound" in str(refused.value.body)
