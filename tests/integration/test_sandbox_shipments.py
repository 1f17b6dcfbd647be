"""The local Amazon keeps the rules of confirmShipment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.sandbox.scenario import EUROPE, FAR_EAST, NORTH_AMERICA, build
from local.sandbox.scenario.orders import DE, JP, UK, US, order_id
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import LAG, client_of, confirm, read, shipment


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(build, enforce_rate_limits=False) as running:
        yield running


@pytest.fixture(scope="module")
def unchanging() -> Iterator[Sandbox]:
    """A sandbox for requests that are refused."""
    with Sandbox(build, enforce_rate_limits=False) as running:
        yield running


@pytest.fixture
def europe(unchanging: Sandbox) -> Iterator[httpx.Client]:
    with client_of(unchanging, EUROPE) as client:
        yield client


@pytest.fixture
def america(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox, NORTH_AMERICA) as client:
        yield client


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    detail = {key: value for key, value in body["packageDetail"].items() if key != name}
    return {key: value for key, value in (body | {"packageDetail": detail}).items() if key != name}


_GOOD = shipment("de-discounted", DE.marketplace_id)


@pytest.mark.parametrize(
    "body",
    [
        *(_without(_GOOD, name) for name in ("marketplaceId", "packageDetail", "packageReferenceId", "carrierCode")),
        *(_without(_GOOD, name) for name in ("trackingNumber", "shipDate", "orderItems")),
        [],
        shipment("de-discounted", DE.marketplace_id, reference=1),
        shipment("de-discounted", DE.marketplace_id, reference="0"),
        shipment("de-discounted", DE.marketplace_id, reference="A1"),
        shipment("de-discounted", DE.marketplace_id, carrierCode="Other"),
        shipment("de-discounted", DE.marketplace_id, shipDate="02/11/2026 10:00"),
        shipment("de-discounted", DE.marketplace_id, shipDate="2026-11-20T10:00:00"),
        shipment("de-discounted", DE.marketplace_id, orderItems=_GOOD["packageDetail"]["orderItems"][0]),
        shipment("de-discounted", DE.marketplace_id, orderItems=[]),
        shipment("de-discounted", DE.marketplace_id, orderItems=[{"orderItemId": "12345678901234", "quantity": 1}]),
        shipment("de-discounted", DE.marketplace_id, quantity=3),
        shipment("de-discounted", DE.marketplace_id, quantity=0),
        shipment("de-discounted", DE.marketplace_id, quantity="1"),
        shipment("de-discounted", UK.marketplace_id),
        _GOOD | {"codCollectionMethod": "DirectPayment"},
    ],
)
def test_confirmation_is_refused_when_a_rule_is_broken(unchanging: Sandbox, europe: httpx.Client, body: Any) -> None:
    answer = confirm(europe, "de-discounted", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "InvalidInput"
    assert answer.headers["x-amzn-ratelimit-limit"] == "2.0"
    assert unchanging.amazon.confirmations == []
    assert "packages" not in unchanging.amazon.order(order_id("de-discounted"))


def test_confirmation_is_refused_when_the_order_does_not_allow_it(sandbox: Sandbox, america: httpx.Client) -> None:
    sandbox.amazon.apply(order_id("us-gift"), {"programs": ["FBM_SHIP_PLUS"]})
    for slug in ("us-gift", "us-fba-then-shipped", "us-canceled", "us-pending", "us-unfulfillable"):
        answer = confirm(america, slug, shipment(slug, US.marketplace_id))
        assert (slug, answer.status_code) == (slug, 400)
    assert confirm(america, "de-discounted", _GOOD).status_code == 404
    assert sandbox.amazon.confirmations == []


def test_order_shows_every_package_when_shipped_in_parts_and_edited(sandbox: Sandbox, america: httpx.Client) -> None:
    slug, market = "us-two-parcels", US.marketplace_id
    first = confirm(america, slug, shipment(slug, market, "1", carrierCode="Other", carrierName="Acme Vans"))
    assert (first.status_code, first.content) == (204, b"")
    assert first.headers["x-amzn-ratelimit-limit"] == "2.0"
    assert "packages" not in read(america, slug)
    sandbox.clock.advance(LAG)
    order = read(america, slug)
    assert order["fulfillment"]["fulfillmentStatus"] == "PARTIALLY_SHIPPED"
    assert order["orderItems"][0]["fulfillment"] == {"quantityFulfilled": 1, "quantityUnfulfilled": 1}
    assert order["packages"][0]["carrier"] == "Acme Vans"

    assert confirm(america, slug, shipment(slug, market, "2", quantity=2)).status_code == 400
    assert confirm(america, slug, shipment(slug, market, "2")).status_code == 204
    assert "PackageToUpdateNotFound" in confirm(america, slug, shipment(slug, market, "3")).text
    assert confirm(america, slug, shipment(slug, market, "2", trackingNumber="EDITED")).status_code == 204
    sandbox.clock.advance(LAG)
    order = read(america, slug)
    assert order["fulfillment"]["fulfillmentStatus"] == "SHIPPED"
    assert order["orderItems"][0]["fulfillment"] == {"quantityFulfilled": 2, "quantityUnfulfilled": 0}
    assert [package["trackingNumber"] for package in order["packages"]] == ["00340000000000000001", "EDITED"]
    sent = [(body["orderId"], body["packageDetail"]["packageReferenceId"]) for body in sandbox.amazon.confirmations]
    assert sent == [(order_id(slug), "1"), (order_id(slug), "2"), (order_id(slug), "2")]


def test_confirmation_is_accepted_when_cash_is_collected_in_japan(sandbox: Sandbox) -> None:
    with client_of(sandbox, FAR_EAST) as client:
        body = shipment("jp-points", JP.marketplace_id) | {"codCollectionMethod": "DirectPayment"}
        assert confirm(client, "jp-points", body).status_code == 204
