"""Calls of the local Amazon that several test files make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from local.sandbox.amazon.search import INCLUDED_DATA
from local.sandbox.scenario.orders import item_id, order_id
from local.sandbox.seeds import AmazonApplication
from local.sandbox.servers import Sandbox

SEARCH = "/orders/2026-01-01/orders"
ALL_DATA = ",".join(sorted(INCLUDED_DATA))
SINCE = "lastUpdatedAfter=2020-01-01T00:00:00Z"
LAG = timedelta(minutes=2, seconds=1)


def client_of(sandbox: Sandbox, application: AmazonApplication) -> httpx.Client:
    """A client with a fresh access token of the application."""
    token = sandbox.amazon.issue_token(application)
    return httpx.Client(base_url=sandbox.amazon_url, headers={"x-amz-access-token": token}, timeout=5)


def read(client: httpx.Client, slug: str, included: str = ALL_DATA) -> dict[str, Any]:
    """The scenario's order as getOrder answers it now."""
    answer = client.get(f"{SEARCH}/{order_id(slug)}", params={"includedData": included})
    assert answer.status_code == 200, answer.text
    order: dict[str, Any] = answer.json()["order"]
    return order


def shipment(slug: str, marketplace_id: str, reference: Any = "1", quantity: Any = 1, **detail: Any) -> dict[str, Any]:
    """A confirmShipment body: one package with `quantity` units of the order's first line."""
    package = {
        "packageReferenceId": reference,
        "carrierCode": "DHL",
        "trackingNumber": "00340000000000000001",
        "shipDate": "2026-11-20T10:00:00Z",
        "orderItems": [{"orderItemId": item_id(slug, 1), "quantity": quantity}],
    }
    return {"marketplaceId": marketplace_id, "packageDetail": package | detail}


def confirm(client: httpx.Client, slug: str, body: Any) -> httpx.Response:
    """POST a confirmShipment body for the scenario's order."""
    return client.post(f"/orders/v0/orders/{order_id(slug)}/shipmentConfirmation", json=body)


def token_request(application: AmazonApplication, **changes: str) -> dict[str, str]:
    """The form fields of a token request; a change to an empty text leaves the field out."""
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": application.refresh_token,
        "client_id": application.client_id,
        "client_secret": application.client_secret,
    }
    return {name: value for name, value in (fields | changes).items() if value}
