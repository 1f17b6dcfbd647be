"""Makes Amazon order documents for tests: complete, sound, with money that adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from local.sandbox.seeds import AmazonOrderSeed

US, SELLER_US = "ATVPDKIKX0DER", "A1EXAMPLESELLER"

# Texts that stand for personal data: wherever one of them turns up outside `pii`, personal data has leaked. Each has a
# word of its own that begins with kwz, so that a part of it is found as well; the phone and the postal code cannot.
MARKERS = {
    "buyerName": "Marker Kwzbuyername",
    "buyerEmail": "kwzrelay@marketplace.example",
    "buyerCompanyName": "Kwzbuyercompany Ltd",
    "buyerPurchaseOrderNumber": "PO-KWZPONUMBER",
    "recipient": "Marker Kwzrecipient",
    "companyName": "Kwzcompany GmbH",
    "addressLine1": "1 Kwzlineone Street",
    "addressLine2": "Hinterhof Kwzlinetwö 7",
    "addressLine3": "Floor Kwzlinethree",
    "city": "Kwzcity am See",
    "districtOrCounty": "Kwzdistrict County",
    "stateOrRegion": "Kwzregion",
    "municipality": "Kwzmunicipality",
    "postalCode": "ZQ9 7XJ",
    "phone": "+1 555 0199 777",
    "streetName": "Rua Kwzstreetname",
    "streetNumber": "KWZNUMBER-77",
    "complement": "Apto. Kwzcomplement",
    "neighborhood": "Kwzneighborhood",
    "dropOffLocation": "Behind the Kwzshed",
    "addressInstruction": "Ring at Kwzbell, second door",
    "giftMessage": 'Marker Kwzgift, with <love> & "kisses"',
    "customizedUrl": "https://custom.example/kwzpicture?of=mum",
    "serialNumber": "KWZSERIAL-1",
    "requestReason": "Kwzrequest: he is ill",
    "executionReason": "Kwzexecution: wrong size",
    "iossNumber": "KWZIOSS0001",
    "legalName": "Kwzlegal e.K.",
    "taxRegistrationNumber": "DE-KWZTAXNUMBER",
    "taxRegistrationAddress": "3 Kwztaxaddress Road",
    "taxRegistrationAttribute": "Kwztaxoffice",
    "authorizationCode": "KWZAUTHORIZATION",
    "shipFromAddress": "Kwzshipfrom Lane",
    "transparencyCode": "KWZTRANSPARENCY",
    "unknownAtTheTop": "Kwztopfield",
    "unknownOfTheRecipient": "Kwzrecipientfield",
    "unknownOfTheLine": "Kwzlinefield",
}


def amazon_order(
    order_id: str,
    lines: dict[str, int] | None = None,
    *,
    status: str = "UNSHIPPED",
    fulfilled_by: str = "MERCHANT",
    unit_price: str = "10.00",
    currency: str = "USD",
    marketplace_id: str = US,
    at: datetime | None = None,
    has_money: bool = True,
) -> dict[str, Any]:
    """One order document with the given lines (seller SKU -> units), bought at `at` (default: an hour ago)."""
    created = at or datetime.now(UTC) - timedelta(hours=1)
    items = []
    total = Decimal(0)
    for number, (sku, qty) in enumerate((lines or {"MUG-STONE-BLUE": 1}).items(), start=1):
        amount = Decimal(unit_price) * qty
        total += amount
        money = {"amount": str(amount), "currencyCode": currency}
        item: dict[str, Any] = {
            "orderItemId": f"{order_id.replace('-', '')[:12]}{number:02d}",
            "quantityOrdered": qty,
            "product": {
                "asin": "B0TESTASIN",
                "title": f"Title of {sku}",
                "sellerSku": sku,
                "price": {"unitPrice": {"amount": unit_price, "currencyCode": currency}},
            },
            "fulfillment": {
                "quantityFulfilled": qty if status == "SHIPPED" else 0,
                "quantityUnfulfilled": 0 if status == "SHIPPED" else qty,
                "packing": {"giftOption": {"giftMessage": MARKERS["giftMessage"], "giftWrapLevel": "Classic"}},
            },
        }
        if has_money:
            item["proceeds"] = {"proceedsTotal": money, "breakdowns": [{"type": "ITEM", "subtotal": money}]}
        items.append(item)
    moment = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    latest = (created + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    order: dict[str, Any] = {
        "orderId": order_id,
        "createdTime": moment,
        "lastUpdatedTime": moment,
        "programs": ["PRIME"],
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": marketplace_id, "marketplaceName": "Amazon.com"},
        "buyer": {"buyerName": MARKERS["buyerName"], "buyerEmail": MARKERS["buyerEmail"]},
        "recipient": {
            "deliveryAddress": {
                "name": MARKERS["recipient"],
                "addressLine1": MARKERS["addressLine1"],
                "city": "Springfield",
                "stateOrRegion": "OR",
                "postalCode": MARKERS["postalCode"],
                "countryCode": "US",
                "phone": MARKERS["phone"],
            }
        },
        "fulfillment": {
            "fulfillmentStatus": status,
            "fulfilledBy": fulfilled_by,
            "fulfillmentServiceLevel": "STANDARD",
            "shipByWindow": {"earliestDateTime": moment, "latestDateTime": latest},
        },
        "orderItems": items,
    }
    if has_money:
        order["proceeds"] = {"grandTotal": {"amount": str(total), "currencyCode": currency}}
    return order


def seed(
    order_id: str, lines: dict[str, int] | None = None, *, seller_id: str = SELLER_US, **options: Any
) -> AmazonOrderSeed:
    """The same as something that the sandbox takes."""
    return AmazonOrderSeed(seller_id, amazon_order(order_id, lines, **options))


def order_id(number: int) -> str:
    """The test's n-th order id."""
    return f"114-{number:07d}-0000001"


def with_every_personal_field(order: dict[str, Any]) -> dict[str, Any]:
    """`order` with every field that can hold personal data, also fields that Amazon may add one day: all of MARKERS."""
    fields = dict(MARKERS)

    def take(*names: str) -> dict[str, str]:
        return {name: fields.pop(name) for name in names}

    order["buyer"] = take("buyerName", "buyerEmail", "buyerCompanyName", "buyerPurchaseOrderNumber")
    address = order["recipient"]["deliveryAddress"]
    address |= take("companyName", "addressLine1", "addressLine2", "addressLine3", "city", "districtOrCounty")
    address |= take("stateOrRegion", "municipality", "postalCode", "phone") | {"name": fields.pop("recipient")}
    address["extendedFields"] = take("streetName", "streetNumber", "complement", "neighborhood")
    order["recipient"]["deliveryPreference"] = take("dropOffLocation", "addressInstruction")
    order["recipient"]["doorColor"] = fields.pop("unknownOfTheRecipient")
    order["loyalty"] = {"member": [fields.pop("unknownAtTheTop")]}
    order["payment"] = {"paymentExecutions": [{"paymentMethod": "Other"} | take("authorizationCode")]}
    registration: dict[str, Any] = {"entityType": "BUYER", "taxRegistrationType": "VAT"}
    registration |= take("legalName", "taxRegistrationNumber")
    registration["taxRegistrationAddress"] = {"addressLine1": fields.pop("taxRegistrationAddress")}
    office = {"key": "TAX_OFFICE", "value": fields.pop("taxRegistrationAttribute")}
    registration["taxRegistrationAttributes"] = [office]
    order["tax"] = {"taxRegistrations": [registration]}
    item = order["orderItems"][0]
    order["packages"] = [
        {
            "packageReferenceId": "900",
            "packageStatus": {"status": "PENDING"},
            "shipFromAddress": {"addressLine1": fields.pop("shipFromAddress")},
            "packageItems": [
                {
                    "orderItemId": item["orderItemId"],
                    "quantity": 1,
                    "transparencyCodes": [fields.pop("transparencyCode")],
                }
            ],
        }
    ]
    item["product"] |= {"serialNumbers": [fields.pop("serialNumber")], "customization": take("customizedUrl")}
    item["fulfillment"]["packing"] = {"giftOption": take("giftMessage")}
    item["fulfillment"]["shipping"] = {"internationalShipping": take("iossNumber")}
    item["cancellation"] = {
        "cancellationRequest": {"requester": "BUYER", "cancelReason": fields.pop("requestReason")},
        "cancellationExecution": {"cancelledBy": "BUYER", "cancelReason": fields.pop("executionReason")},
    }
    item["engraving"] = fields.pop("unknownOfTheLine")
    assert not fields, f"in no field of the order: {', '.join(fields)}"
    return order
