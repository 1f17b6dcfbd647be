"""An application with five orders at the local Amazon, and clients for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.rate_limits import RateLimiter
from include.adapters.amazon.requests import IMPORT_DATA, search_query, shipment_confirmation
from include.adapters.api_calls import ApiCall, CallRecorder
from local.sandbox.faults import Fault, FaultKind
from local.sandbox.seeds import AmazonApplication, AmazonOrderSeed, CommerceSeed, Scenario
from local.sandbox.servers import Sandbox
from tests.support.waiting import PATIENT, SLOW_SECONDS

MARKETPLACE = "ATVPDKIKX0DER"
ORDER_ID = "111-0000000-0000001"
NO_ANSWER: list[FaultKind] = ["html_500", "empty_500", "html_503", "dropped", "lost_reply", "broken_json", "slow"]


def order_document(number: int, created: datetime) -> dict[str, Any]:
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    money = {"amount": "10.50", "currencyCode": "USD"}
    return {
        "orderId": f"111-0000000-{number:07}",
        "createdTime": moment,
        "lastUpdatedTime": moment,
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": MARKETPLACE, "marketplaceName": "Amazon.com"},
        "buyer": {"buyerName": "Planted Person", "buyerEmail": "planted@marketplace.amazon.com"},
        "recipient": {"deliveryAddress": {"name": "Planted Person", "addressLine1": "1 Planted St"}},
        "proceeds": {"grandTotal": money},
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"},
        "orderItems": [
            {
                "orderItemId": f"9000000000{number}",
                "quantityOrdered": 2,
                "measurement": {"unit": "COUNT", "value": 1.5},
                "product": {"asin": "B000000000", "title": "Thing", "sellerSku": "THING"},
                "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": 2},
            }
        ],
    }


@dataclass
class Account:
    """A running sandbox with five orders of one application, and clients for it."""

    sandbox: Sandbox
    application: AmazonApplication
    engine: Engine
    calls: list[ApiCall] = field(default_factory=list)

    def client(self, *, record: CallRecorder | None = None, **change: Any) -> AmazonClient:
        settings: dict[str, Any] = {
            "endpoint": self.sandbox.amazon_url,
            "token_url": self.sandbox.amazon_url + "/auth/o2/token",
            "client_id": self.application.client_id,
            "client_secret": self.application.client_secret,
            "refresh_token": self.application.refresh_token,
            "account_name": "acme-na",
            "region": "na",
            "connection": "amazon_sp_api",
            "limiter": RateLimiter(self.engine, self.application.client_id, "acme-na", "na", max_wait=timedelta()),
            "record": record or self.calls.append,
            "timeouts": PATIENT,
        }
        return AmazonClient(**(settings | change))

    def query(self, page_size: int = 100) -> dict[str, str]:
        now = self.sandbox.clock.now()
        return search_query([MARKETPLACE], now - timedelta(days=2), now - timedelta(minutes=3), IMPORT_DATA, page_size)

    def script(self, operation: str, kind: FaultKind, **more: Any) -> None:
        self.sandbox.amazon_faults.add(Fault(operation, kind, seconds=SLOW_SECONDS, **more))

    def sent(self, operation: str) -> int:
        return self.sandbox.amazon_faults.calls[operation]


@pytest.fixture
def account(engine: Engine) -> Iterator[Account]:
    application = AmazonApplication(
        client_id=f"application-{uuid.uuid4()}",
        client_secret="planted-secret",
        refresh_token="planted-refresh-token",
        seller_id="A1EXAMPLESELLER",
        region="na",
        marketplace_ids=(MARKETPLACE,),
    )
    created = datetime.now(UTC) - timedelta(days=1)
    seeds = tuple(AmazonOrderSeed("A1EXAMPLESELLER", order_document(number, created)) for number in range(1, 6))
    commerce = CommerceSeed("", "", "", "", (), (), ())
    with Sandbox(Scenario((application,), seeds, commerce)) as sandbox:
        yield Account(sandbox, application, engine)


def package(quantity: int = 1) -> dict[str, Any]:
    return shipment_confirmation(
        marketplace_id=MARKETPLACE,
        package_reference_id="1",
        carrier_code="UPS",
        carrier_name=None,
        shipping_method=None,
        tracking_number="1Z999",
        shipped_at=datetime.now(UTC),
        units={"90000000001": quantity},
    )
