"""The scenario of both servers: some forty realistic orders, a catalog, and a warehouse that ships.

It is the same each time, except for the moment at which it starts. After 10 to 25 minutes on the sandbox's clock new
orders arrive, pending ones are paid or canceled, Amazon and the warehouse ship, and two blockers are fixed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from include.adapters.commerce.rights import LEGACY_STOCK, NEEDED
from local.sandbox.scenario.catalog import PRODUCTS, STORE_VIEWS, WEBSITES, catalog_changes
from local.sandbox.scenario.north_america import ADDRESS_TO_CORRECT as ADDRESS_TO_CORRECT
from local.sandbox.scenario.north_america import north_american_orders
from local.sandbox.scenario.orders import CA, DE, JP, UK, US, item_id
from local.sandbox.scenario.orders import order_id as order_id
from local.sandbox.scenario.other_regions import european_orders, japanese_orders
from local.sandbox.seeds import AmazonApplication, CommerceSeed, Scenario, WarehouseAction

NORTH_AMERICA = AmazonApplication(
    client_id="amzn1.application-oa2-client.sandbox-na",
    client_secret="sandbox-client-secret-na",
    refresh_token="Atzr|sandbox-refresh-token-na",
    seller_id=US.seller_id,
    region="na",
    marketplace_ids=(US.marketplace_id, CA.marketplace_id),
)
EUROPE = AmazonApplication(
    client_id="amzn1.application-oa2-client.sandbox-eu",
    client_secret="sandbox-client-secret-eu",
    refresh_token="Atzr|sandbox-refresh-token-eu",
    seller_id=DE.seller_id,
    region="eu",
    marketplace_ids=(DE.marketplace_id, UK.marketplace_id),
)
FAR_EAST = AmazonApplication(
    client_id="amzn1.application-oa2-client.sandbox-fe",
    client_secret="sandbox-client-secret-fe",
    refresh_token="Atzr|sandbox-refresh-token-fe",
    seller_id=JP.seller_id,
    region="fe",
    marketplace_ids=(JP.marketplace_id,),
)


def build(started_at: datetime) -> Scenario:
    """The scenario that starts at `started_at` (aware). The same moment always gives the same scenario."""
    at_15 = started_at + timedelta(minutes=15)
    return Scenario(
        applications=(NORTH_AMERICA, EUROPE, FAR_EAST),
        orders=(
            *north_american_orders(started_at, at_15),
            *european_orders(started_at, at_15),
            *japanese_orders(started_at, at_15),
        ),
        commerce=CommerceSeed(
            consumer_key="sandbox-consumer-key",
            consumer_secret="sandbox-consumer-secret",
            access_token="sandbox-access-token",
            access_token_secret="sandbox-access-token-secret",
            websites=WEBSITES,
            store_views=STORE_VIEWS,
            products=PRODUCTS,
            catalog_changes=catalog_changes(started_at),
            warehouse=_warehouse(at_15),
            # Exactly those documented for a shop with multi-source inventory: what the demo and the tests do proves
            # that they are enough.
            rights=frozenset(right.resource for right in NEEDED if right != LEGACY_STOCK),
        ),
    )


def _warehouse(at: datetime) -> tuple[WarehouseAction, ...]:
    def ship(slug: str, *tracks: tuple[str, str, str], quantities: dict[str, Decimal] | None = None) -> WarehouseAction:
        return WarehouseAction(at=at, amazon_order_id=order_id(slug), tracks=tracks, quantities=quantities)

    return (
        ship("us-kettle", ("ups", "United Parcel Service", "1Z0000000000000101")),
        ship(
            "us-two-lines",
            ("fedex", "Federal Express", "770000000102"),
            quantities={item_id("us-two-lines", 1): Decimal(2)},
        ),
        ship(
            "us-two-parcels",
            ("ups", "United Parcel Service", "1Z0000000000000103"),
            ("ups", "United Parcel Service", "1Z0000000000000104"),
        ),
        ship("us-prime", ("fedex", "Federal Express", "770000000105")),
        ship("us-business", ("custom", "Old Dominion Freight Line", "OD000000106")),
        ship("de-awkward-sku", ("custom", "DHL Paket", "00340000000000000107")),
        ship("uk-mapped-sku", ("custom", "Royal Mail", "GB000000108GB")),
        ship("jp-points", ("custom", "ヤマト運輸", "400000000109")),
    )
