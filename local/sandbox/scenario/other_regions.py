"""The European and Japanese orders of the scenario: prices including tax, other scripts, no decimals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from local.sandbox.scenario import people as people
from local.sandbox.scenario.catalog import AWKWARD_SKU, LATE_SKU
from local.sandbox.scenario.orders import (
    DE,
    JP,
    UK,
    Document,
    ago,
    build_order,
    canceled_patch,
    line,
    money_patch,
    package,
    pending,
    seed,
    shipped_patch,
)
from local.sandbox.seeds import AmazonChange, AmazonOrderSeed


def european_orders(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    """All orders of the German and the British store. Later changes happen at `at_15`."""
    yield seed("de-awkward-sku", people.JOERG, (line(AWKWARD_SKU, 1, "119.00", shipping="6.90"),), ago(start, 31))
    yield seed(
        "de-discounted",
        people.ELENI,
        (line("PILLOW-LINEN-50", 2, "48.00", discount="4.80", shipping="3.99"), line("CANDLE-SOY-FIG", 4, "55.00")),
        ago(start, 15),
    )
    yield seed(
        "de-fba-shipped",
        people.KATHRIN,
        (line("KETTLE-1.7L", 1, "42.00"),),
        ago(start, 58),
        status="SHIPPED",
        fulfilled_by="AMAZON",
        updated_after=timedelta(hours=18),
    )
    paid = build_order("de-pending-then-paid", people.KATHRIN, (line("TEAPOT-CAST-IRON", 1, "57.50"),), ago(start, 4))
    yield pending(
        DE, paid, AmazonChange(at_15, {"fulfillment": {"fulfillmentStatus": "UNSHIPPED"}} | money_patch(paid))
    )
    yield seed("de-product-comes-later", people.JOERG, (line(LATE_SKU, 1, "64.00"),), ago(start, 8))
    canceled = build_order("de-canceled", people.ELENI, (line("TRAY-WALNUT", 1, "45.00"),), ago(start, 35))
    change = AmazonChange(ago(start, 34), canceled_patch(canceled, "BUYER", "BUYER_CANCELED"))
    yield AmazonOrderSeed(DE.seller_id, canceled, (change,))
    yield seed("de-arrives", people.KATHRIN, (line("BOWL-SALAD-ACACIA", 2, "76.00"),), start + timedelta(minutes=20))

    yield seed("uk-mapped-sku", people.OWEN, (line("UK-KETTLE-17", 1, "36.99", shipping="3.50"),), ago(start, 27))
    yield seed(
        "uk-arabic-name",
        people.LAYLA,
        (line("BLANKET-WOOL-GREY", 1, "79.00", discount="7.90"), line("BASKET-SEAGRASS", 1, "26.50")),
        ago(start, 17),
    )
    fba = build_order(
        "uk-fba-then-shipped",
        people.GRACE,
        (line("VASE-GLASS-TALL", 1, "24.99"),),
        ago(start, 5),
        fulfilled_by="AMAZON",
    )
    yield AmazonOrderSeed(UK.seller_id, fba, (AmazonChange(at_15, shipped_patch(fba)),))
    shipped = build_order(
        "uk-shipped",
        people.GRACE,
        (line("BOARD-BAMBOO-L", 1, "19.99"),),
        ago(start, 62),
        status="SHIPPED",
        updated_after=timedelta(hours=9),
    )
    shipped["packages"] = [package(shipped, 1, ago(start, 53), "Royal Mail", "GB000000001GB")]
    yield AmazonOrderSeed(UK.seller_id, shipped)
    yield seed("uk-arrives", people.OWEN, (line("KNIFE-CHEF-20", 1, "58.00"),), start + timedelta(minutes=25))


def japanese_orders(start: datetime, at_15: datetime) -> Iterator[AmazonOrderSeed]:
    """All orders of the Japanese store. Later changes happen at `at_15`."""
    worth = {"amount": "59", "currencyCode": JP.currency_code}
    points: Document = {
        "expense": {"pointsCost": {"pointsGranted": {"pointsNumber": 59, "pointsMonetaryValue": worth}}}
    }
    yield seed("jp-points", people.TANAKA, (line("KETTLE-1.7L", 1, "5980", parts=points),), ago(start, 29))
    yield seed(
        "jp-two-lines",
        people.SATO,
        (line("TEAPOT-CAST-IRON", 1, "8200", shipping="550"), line("BOWL-SALAD-ACACIA", 3, "10000", discount="500")),
        ago(start, 19),
    )
    yield seed(
        "jp-fba-shipped",
        people.SATO,
        (line("PILLOW-LINEN-50", 2, "6400"),),
        ago(start, 55),
        status="SHIPPED",
        fulfilled_by="AMAZON",
        updated_after=timedelta(hours=15),
    )
    # In Japan pending orders have prices, too. This one is never paid at the convenience store.
    unpaid = build_order(
        "jp-never-paid", people.TANAKA, (line("MUG-STONE-4", 1, "4600"),), ago(start, 23), status="PENDING"
    )
    change = AmazonChange(at_15, canceled_patch(unpaid, "AMAZON", "PAYMENT_NOT_RECEIVED"))
    yield AmazonOrderSeed(JP.seller_id, unpaid, (change,))
