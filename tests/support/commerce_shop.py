"""A small shop for the tests of the local Commerce: its seed, an order to create, callers with both credentials."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import requests
from magento import Magento
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256
from oauthlib.oauth1 import Client as Signer
from requests.auth import AuthBase

from local.sandbox.seeds import (
    CatalogChange,
    CommerceSeed,
    Product,
    Scenario,
    StoreView,
    WarehouseAction,
    Website,
)
from local.sandbox.servers import Sandbox

TRACK = ("ups", "UPS", "1Z999")

_PRODUCTS = (
    Product(1, "MUG-1", "Mug", Decimal("12.50"), (1, 2), quantities={1: Decimal(10), 2: Decimal(3)}),
    Product(2, "Teller-2", "Plate", Decimal("8"), (1,), disabled_in=("de",), quantities={1: Decimal(0)}),
    Product(3, "A,B", "Comma", Decimal("1"), (1,), quantities={1: Decimal(5)}),
    Product(4, "GIFT-CARD", "Card", Decimal("5"), (1,), manage_stock=False),
    Product(5, "LATER", "On order", Decimal("7"), (1,), backorders=True, quantities={1: Decimal(0)}),
    Product(6, "BUNDLE", "Bundle", Decimal("20"), (1,), type_id="bundle"),
    Product(7, "OFF", "Disabled", Decimal("3"), (1,), status=2, quantities={1: Decimal(9)}),
)


def shop_scenario(now: datetime) -> Scenario:
    """The shop alone, nothing at its Amazon. 10 minutes after `now` the catalog changes and the warehouse ships."""
    later = now + timedelta(minutes=10)
    created = Product(8, "NEW", "New", Decimal("4"), (1,), quantities={1: Decimal(2)})
    return Scenario(
        applications=(),
        orders=(),
        commerce=CommerceSeed(
            consumer_key="consumer",
            consumer_secret="consumer&secret",
            access_token="token",
            access_token_secret="token/secret",
            websites=(Website(1, "base", 1), Website(2, "eu", 2)),
            store_views=(
                StoreView(1, "default", "Default Store View", 1, "USD"),
                StoreView(2, "de", "Deutsch", 2, "EUR"),
            ),
            products=_PRODUCTS,
            catalog_changes=(
                CatalogChange(later, "NEW", create=created),
                CatalogChange(later, "OFF", status=1, quantities={1: Decimal(4)}),
            ),
            warehouse=(WarehouseAction(later, "111-0000000-0000009", (TRACK,), {"item-1": Decimal(1)}),),
        ),
    )


def order_entity(ext_order_id: str = "111-0000000-0000001", **changes: Any) -> dict[str, Any]:
    """An order of two mugs and one plate: 33.00 and 2.64 tax, 5.00 shipping, 3.00 discount, 37.64 in all."""
    address = {
        "firstname": "Zoë",
        "lastname": "Sandbox",
        "street": ["1 Test Way"],
        "city": "Springfield",
        "postcode": "12345",
        "country_id": "US",
        "telephone": "555-0100",
        "email": "zoe@example.com",
    }
    amounts = {
        "subtotal": 33,
        "tax_amount": 2.64,
        "shipping_amount": 5,
        "discount_amount": -3,
        "grand_total": 37.64,
        "total_due": 37.64,
    }
    entity: dict[str, Any] = amounts | {f"base_{name}": amount for name, amount in amounts.items()}
    entity |= {
        "store_id": 1,
        "state": "new",
        "status": "pending",
        "ext_order_id": ext_order_id,
        "customer_email": "zoe@example.com",
        "order_currency_code": "USD",
        "billing_address": address,
        "payment": {"method": "purchaseorder", "po_number": ext_order_id},
        "items": [_line("item-1", "MUG-1", 2, 12.5, 2, 3), _line("item-2", "Teller-2", 1, 8, 0.64, 0)],
        "extension_attributes": {
            "shipping_assignments": [{"shipping": {"address": address, "method": "flatrate_flatrate"}}]
        },
    }
    return entity | changes


def _line(item_id: str, sku: str, quantity: int, price: float, tax: float, discount: float) -> dict[str, Any]:
    amounts = {"price": price, "row_total": price * quantity, "tax_amount": tax, "discount_amount": discount}
    line = amounts | {f"base_{name}": amount for name, amount in amounts.items()}
    return line | {"sku": sku, "name": sku.title(), "qty_ordered": quantity, "ext_order_item_id": item_id}


class OAuth1(AuthBase):
    """Signs requests as the shop's integration; `changes` replaces arguments of oauthlib's client."""

    def __init__(self, seed: CommerceSeed, **changes: Any) -> None:
        arguments = {
            "client_secret": seed.consumer_secret,
            "resource_owner_key": seed.access_token,
            "resource_owner_secret": seed.access_token_secret,
            "signature_method": SIGNATURE_HMAC_SHA256,
        }
        self._signer = Signer(seed.consumer_key, **arguments | changes)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert request.url is not None and request.method is not None
        _, headers, _ = self._signer.sign(request.url, http_method=request.method)  # type: ignore[arg-type]
        request.headers["Authorization"] = headers["Authorization"]
        return request


def pymagento(sandbox: Sandbox, how: str, scope: str = "default") -> Magento:
    """A client that we did not write, with the shop's bearer token or its OAuth 1.0a credentials."""
    seed = sandbox.commerce.seed
    client = Magento(token=seed.access_token, base_url=sandbox.commerce_url, scope=scope, timeout=10)
    if how == "oauth1":
        client.headers.pop("Authorization")
        client.auth = OAuth1(seed)
    return client
