"""The North American orders of the scenario: most of the life cycle, and most blockers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from local.sandbox.amazon.search import format_time
from local.sandbox.scenario import people as people
from local.sandbox.scenario.catalog import DISABLED_SKU, SCARCE_SKU, UNKNOWN_SKU
from local.sandbox.scenario.orders import (
    CA,
    US,
    ago,
    build_order,
    canceled_line,
    canceled_patch,
    item_id,
    line,
    money_patch,
    package,
    pending,
    seed,
    shipped_patch,
)
from local.sandbox.seeds import AmazonChange, AmazonOrderSeed

# The one order that deviates from Amazon's own model: its status is not in the enum (but in Amazon's migration guide),
# and it has a field that the model does not have.
ODD_ORDER = "us-unknown-status"
ADDRESS_TO_CORRECT = "us-address-without-city"


def north_american_orders(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    """All orders of the American and the Canadian store. Later changes happen at `at_15`."""
    yield from _ordinary_orders(start, at_15)
    yield from _blocked_orders(start, at_15)
    yield from _canceled_after_creation(start, at_15)
    yield from _special_orders(start)
    yield from _canadian_orders(start)


def _ordinary_orders(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    yield seed("us-kettle", people.DANA, (line("KETTLE-1.7L", 1, "39.90", shipping="4.99"),), ago(start, 30))
    yield seed(
        "us-two-lines",
        people.MARCUS,
        (line("TOWEL-BATH-SAGE", 2, "37.00", shipping="5.49"), line("MUG-STONE-4", 1, "32.00", discount="3.20")),
        ago(start, 28),
    )
    yield seed("us-two-parcels", people.PRIYA, (line("PAN-IRON-26", 2, "98.00", shipping="12.00"),), ago(start, 26))
    # 20.00 for three: the unit price is rounded; only the line's amount is exact
    yield seed("us-uneven-price", people.TOM, (line("CANDLE-SOY-FIG", 3, "20.00", discount="1.00"),), ago(start, 22))
    yield seed(
        "us-prime",
        people.SIOBHAN,
        (line("KNIFE-CHEF-20", 1, "64.50"), line("BOARD-BAMBOO-L", 1, "21.90")),
        ago(start, 9),
        service="NEXT_DAY",
        parts={"programs": ["PRIME"]},
    )
    office = line("JAR-STORAGE-3", 10, "250.80")
    business = build_order(
        "us-business", people.OFFICE, (office,), ago(start, 33), parts={"programs": ["AMAZON_BUSINESS"]}
    )
    business["buyer"]["buyerPurchaseOrderNumber"] = "AS-2207"
    business["orderItems"][0]["product"]["price"]["priceDesignation"] = "BUSINESS_PRICE"
    yield AmazonOrderSeed(US.seller_id, business)

    paid = build_order("us-pending-then-paid", people.DANA, (line("TRAY-WALNUT", 1, "42.00"),), ago(start, 2))
    yield pending(
        US, paid, AmazonChange(at_15, {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}} | money_patch(paid))
    )
    yield pending(US, build_order("us-pending", people.ELENA, (line("VASE-GLASS-TALL", 2, "55.00"),), ago(start, 5)))
    preorder = build_order(
        "us-pending-availability",
        people.TOM,
        (line("TEAPOT-CAST-IRON", 1, "54.00"),),
        ago(start, 50),
        parts={"programs": ["PREORDER"]},
    )
    yield pending(US, preorder, status="PENDING_AVAILABILITY")

    fba = build_order(
        "us-fba-then-shipped",
        people.MARCUS,
        (line("BLANKET-WOOL-GREY", 1, "89.00"),),
        ago(start, 7),
        fulfilled_by="AMAZON",
        parts={"programs": ["PRIME"]},
    )
    yield AmazonOrderSeed(US.seller_id, fba, (AmazonChange(at_15, shipped_patch(fba)),))
    yield seed(
        "us-fba-shipped",
        people.ELENA,
        (line("PILLOW-LINEN-50", 4, "96.00", discount="9.60"),),
        ago(start, 52),
        status="SHIPPED",
        fulfilled_by="AMAZON",
        updated_after=timedelta(hours=20),
    )
    yield seed("us-arrives-first", people.PRIYA, (line("BASKET-SEAGRASS", 1, "29.00"),), start + timedelta(minutes=10))
    yield seed("us-arrives-later", people.DANA, (line("MUG-STONE-4", 2, "64.00"),), start + timedelta(minutes=25))


def _blocked_orders(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    # There is stock for only one of these two; the older one gets it.
    yield seed("us-scarce-older", people.TOM, (line(SCARCE_SKU, 2, "148.00"),), ago(start, 40))
    yield seed("us-scarce-newer", people.DANA, (line(SCARCE_SKU, 2, "148.00"),), ago(start, 20))
    yield seed(
        "us-missing-product",
        people.SUHARTO,
        (line("DOORMAT-COIR", 1, "19.90"), line(UNKNOWN_SKU, 1, "58.00")),
        ago(start, 18),
    )
    # Its address has no city until `make demo` corrects it.
    yield seed(ADDRESS_TO_CORRECT, people.HOLLIS, (line("TOWEL-BATH-SAGE", 1, "18.50"),), ago(start, 10))
    yield seed("us-disabled-product", people.ELENA, (line(DISABLED_SKU, 1, "35.00", shipping="6.00"),), ago(start, 16))
    blocked = build_order("us-blocked-then-canceled", people.MARCUS, (line(UNKNOWN_SKU, 2, "116.00"),), ago(start, 12))
    change = AmazonChange(at_15, canceled_patch(blocked, "BUYER", "BUYER_CANCELED"))
    yield AmazonOrderSeed(US.seller_id, blocked, (change,))


def _canceled_after_creation(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    """Both are in the shop, and not shipped, when the buyer cancels all of the one and a line of the other."""
    whole = build_order("us-created-then-canceled", people.TOM, (line("TRAY-WALNUT", 1, "42.00"),), ago(start, 8))
    canceled = AmazonChange(at_15, canceled_patch(whole, "BUYER", "BUYER_CANCELED"))
    yield AmazonOrderSeed(US.seller_id, whole, (canceled,))
    slug = "us-line-canceled"
    lines = (line("BASKET-SEAGRASS", 2, "58.00", shipping="6.50"), line("KETTLE-1.7L", 1, "39.90"))
    fewer = AmazonChange(at_15, {"orderItems": [canceled_line(item_id(slug, 2), 0)]})
    yield AmazonOrderSeed(US.seller_id, build_order(slug, people.CARLA, lines, ago(start, 15)), (fewer,))


def _special_orders(start: datetime) -> Iterator[AmazonOrderSeed]:
    gift = {"packing": {"giftOption": {"giftMessage": "Happy birthday, Mum! Love, S.", "giftWrapLevel": "Classic"}}}
    yield seed(
        "us-gift",
        people.SIOBHAN,
        (line("TEAPOT-CAST-IRON", 1, "54.00", gift_wrap="3.99", parts={"fulfillment": gift}),),
        ago(start, 14),
    )
    wish = {"cancellation": {"cancellationRequest": {"requester": "BUYER", "cancelReason": "Ordered by mistake"}}}
    yield seed(
        "us-buyer-asks-to-cancel", people.SUHARTO, (line("BOWL-SALAD-ACACIA", 1, "36.80", parts=wish),), ago(start, 6)
    )
    original = build_order(
        "us-shipped-elsewhere",
        people.PRIYA,
        (line("VASE-GLASS-TALL", 1, "27.50"),),
        ago(start, 70),
        status="SHIPPED",
        updated_after=timedelta(hours=10),
    )
    parcel = package(original, 1, ago(start, 60), "USPS", "9400100000000000000001")
    yield AmazonOrderSeed(US.seller_id, original | {"packages": [parcel]})
    replaced = {"orderId": original["orderId"], "associationType": "REPLACEMENT_ORIGINAL_ID"}
    yield seed(
        "us-replacement",
        people.PRIYA,
        (line("VASE-GLASS-TALL", 1, "0"),),
        ago(start, 11),
        parts={"associatedOrders": [replaced]},
    )
    partly = build_order(
        "us-partially-shipped",
        people.OFFICE,
        (line("BOARD-BAMBOO-L", 2, "43.80"), line("CURTAIN-LINEN-WHITE", 2, "92.00", shipping="8.00")),
        ago(start, 44),
        status="PARTIALLY_SHIPPED",
        updated_after=timedelta(hours=20),
    )
    partly["packages"] = [package(partly, 1, ago(start, 24), "UPS", "1Z0000000000000001", 1)]
    partly["orderItems"][0]["fulfillment"] = {"quantityFulfilled": 2, "quantityUnfulfilled": 0}
    yield AmazonOrderSeed(US.seller_id, partly)
    canceled = build_order("us-canceled", people.TOM, (line("KETTLE-1.7L", 1, "39.90"),), ago(start, 47))
    change = AmazonChange(ago(start, 41), canceled_patch(canceled, "MERCHANT", "NO_INVENTORY"))
    yield AmazonOrderSeed(US.seller_id, canceled, (change,))
    yield seed(
        "us-unfulfillable",
        people.ELENA,
        (line("CURTAIN-LINEN-WHITE", 1, "46.00"),),
        ago(start, 36),
        status="UNFULFILLABLE",
        fulfilled_by="AMAZON",
    )
    yield seed(
        ODD_ORDER,
        people.MARCUS,
        (line("PILLOW-LINEN-50", 1, "24.00"),),
        ago(start, 10),
        status="INVOICE_UNCONFIRMED",
        parts={"neighborhoodPickup": {"lockerCode": "K-17"}},
    )
    # Bought before the store was connected (import_since in stores.yaml), but changed recently.
    for slug, sku, amount, day in (
        ("us-bought-in-2025", "MUG-STONE-4", "32.00", 12),
        ("us-gift-of-2025", "BLANKET-WOOL-GREY", "89.00", 19),
    ):
        bought_at = datetime(2025, 12, day, 17, 5, tzinfo=UTC)
        order = build_order(slug, people.DANA, (line(sku, 1, amount),), bought_at, status="SHIPPED")
        order["packages"] = [package(order, 1, bought_at + timedelta(days=1), "UPS", f"1Z00000000000001{day}")]
        yield AmazonOrderSeed(US.seller_id, order | {"lastUpdatedTime": format_time(ago(start, 60))})


def _canadian_orders(start: datetime) -> Iterator[AmazonOrderSeed]:
    yield seed("ca-unshipped", people.CHLOE, (line("BLANKET-WOOL-GREY", 1, "119.00"),), ago(start, 13))
    shipped = build_order(
        "ca-shipped",
        people.LIAM,
        (line("JAR-STORAGE-3", 2, "71.90", shipping="9.95"),),
        ago(start, 64),
        status="SHIPPED",
        updated_after=timedelta(hours=16),
    )
    shipped["packages"] = [package(shipped, 1, ago(start, 48), "Canada Post", "7000000000000001")]
    yield AmazonOrderSeed(CA.seller_id, shipped)
    yield pending(CA, build_order("ca-pending", people.CHLOE, (line("TRAY-WALNUT", 1, "56.00"),), ago(start, 3)))
