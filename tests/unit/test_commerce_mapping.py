"""Amazon orders become Commerce's order documents: schema, money, names, addresses, and what a refusal may say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import simplejson
from hypothesis import given, settings
from hypothesis import strategies as st

from include.adapters.amazon_mapping import split_order
from include.adapters.commerce_address import AddressPlaceholders
from include.adapters.commerce_documents import CatalogProduct, StoreView
from include.adapters.commerce_mapping import order_entity, scrub
from include.domain.errors import MalformedOrderError
from include.domain.marketplaces import MARKETPLACES
from include.domain.orders import Contact, Order, OrderLine
from include.domain.stores import OrderSettings, Store

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
US, DE, JP = "ATVPDKIKX0DER", "A1PA6795UKMFR9", "A1VC38T7YXB528"
AMAZON_ORDER_ID = "123-4567890-1234567"
PLACEHOLDERS = AddressPlaceholders(
    name="Amazon Customer",
    street="Withheld by Amazon",
    city="Withheld",
    postcode="00000",
    phone="0000000000",
    email_domain="amazon.invalid",
)
CONTACT = Contact(
    {
        "buyer": {"buyerName": "Ada Lovelace", "buyerEmail": "abc123@marketplace.amazon.com"},
        "recipient": {
            "deliveryAddress": {
                "name": "Grace Brewster Hopper",
                "addressLine1": "1 Compiler Way",
                "addressLine2": "Apt 9",
                "city": "Arlington",
                "stateOrRegion": "VA",
                "postalCode": "22201",
                "countryCode": "US",
                "phone": "+1 703 555 0100",
            }
        },
    }
)
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="the folder ../shared/models is absent")


def line(number: int = 1, **changes: Any) -> OrderLine:
    amounts = {"ordered_qty": 1, "item_amount": Decimal("10.00")}
    return OrderLine(amazon_item_id=f"item-{number}", seller_sku=f"SKU-{number}", **{**amounts, **changes})


def order(*lines: OrderLine, total: str | None, currency: str | None = "USD", **changes: Any) -> Order:
    found = Order(
        amazon_order_id=AMAZON_ORDER_ID,
        account_name="acme",
        marketplace_id=US,
        amazon_status="UNSHIPPED",
        fulfilled_by="MERCHANT",
        purchased_at=datetime(2026, 11, 1, tzinfo=UTC),
        currency_code=currency,
        grand_total_amount=None if total is None else Decimal(total),
        service_level="STANDARD",
        lines=lines,
    )
    return replace(found, **changes)


def entity(
    amazon_order: Order,
    contact: Contact = CONTACT,
    marketplace_id: str = US,
    customer_id: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    store = Store(
        "Shop", "acme", marketplace_id, "commerce_api", "default", OrderSettings(**settings), {"SKU-9": "mug"}
    )
    view = StoreView(1, "default", 1, "base", MARKETPLACES[marketplace_id].currency_code, 1)
    products = {
        store.catalog_sku(each.seller_sku): CatalogProduct(
            7, store.catalog_sku(each.seller_sku).upper(), "Name", True, "simple", Decimal(5), Decimal("0.5"), (1,)
        )
        for each in amazon_order.lines
    }
    return order_entity(
        amazon_order,
        contact,
        store,
        view,
        products,
        shipping_method="flatrate_flatrate",
        placeholder=PLACEHOLDERS,
        customer_id=customer_id,
    )


def comment(document: dict[str, Any]) -> str:
    return str(document["status_histories"][0]["comment"])


def shipping(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["extension_attributes"]["shipping_assignments"][0]["shipping"]
    return found


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, path)
    else:
        yield path, document


# Identity


def test_identity_when_numbers_come_from_commerce() -> None:
    document = entity(order(line(), total="10.00"))
    assert document["ext_order_id"] == AMAZON_ORDER_ID
    assert "increment_id" not in document
    assert document["payment"]["method"] == "purchaseorder"
    assert document["payment"]["po_number"] == AMAZON_ORDER_ID
    assert document["items"][0]["ext_order_item_id"] == "item-1"
    assert (document["state"], document["status"], document["store_id"]) == ("new", "pending", 1)


def test_increment_id_when_numbers_come_from_amazon() -> None:
    document = entity(order(line(), total="10.00"), order_number_source="amazon", order_number_prefix="AMZ-")
    assert document["increment_id"] == f"AMZ-{AMAZON_ORDER_ID}"


@pytest.mark.parametrize(
    ("amazon_order_id", "prefix"), [("S01-" + "1" * 29, ""), ("S01-" + "1" * 28, "P" * 19)], ids=["ext", "increment"]
)
def test_identity_when_an_id_is_too_long(amazon_order_id: str, prefix: str) -> None:
    amazon_order = order(line(), total="10.00", amazon_order_id=amazon_order_id)
    with pytest.raises(MalformedOrderError, match="longer than"):
        entity(amazon_order, order_number_source="amazon", order_number_prefix=prefix)


def test_sku_when_the_store_maps_it() -> None:
    item = entity(order(line(9), total="10.00"))["items"][0]
    assert (item["sku"], item["product_id"]) == ("MUG", 7)


def test_mails_when_an_order_is_built() -> None:
    document = entity(order(line(), total="10.00"))
    assert document["email_sent"] == 0
    assert document["customer_note_notify"] == 0
    assert document["status_histories"][0]["is_customer_notified"] == 0


@pytest.mark.parametrize(
    "amazon_order",
    [
        order(line(), total=None),
        order(line(), total="10.00", currency=None),
        order(line(), total="10.00", currency="EUR"),
        order(line(ordered_qty=0), total="10.00"),
    ],
    ids=["no_total", "no_currency", "other_currency", "no_units"],
)
def test_entity_when_the_order_cannot_become_one(amazon_order: Order) -> None:
    with pytest.raises(MalformedOrderError, match=AMAZON_ORDER_ID) as caught:
        entity(amazon_order)
    assert caught.value.findings


# Money


def test_totals_when_prices_exclude_tax() -> None:
    bought = line(
        ordered_qty=3,
        item_amount=Decimal("10.00"),
        shipping_amount=Decimal("4.00"),
        tax_amount=Decimal("0.80"),
        discount_amount=Decimal("1.00"),
    )
    document = entity(order(bought, total="13.80"))
    assert document["grand_total"] == document["base_grand_total"] == document["total_due"] == Decimal("13.80")
    assert document["subtotal"] == Decimal("10.00")
    assert document["shipping_amount"] == Decimal("4.00")
    assert document["tax_amount"] == Decimal("0.80")
    assert document["discount_amount"] == Decimal("-1.00")
    item = document["items"][0]
    assert item["price"] == Decimal("3.3333")
    assert item["row_total"] == Decimal("10.00")
    assert item["row_total_incl_tax"] == Decimal("10.80")
    assert item["discount_amount"] == Decimal("1.00")
    assert document["weight"] == Decimal("1.5")


def test_totals_when_prices_include_tax() -> None:
    bought = line(item_amount=Decimal("100.00"), shipping_amount=Decimal("19.00"), tax_amount=Decimal("19.00"))
    document = entity(order(bought, total="119.00", currency="EUR"), marketplace_id=DE)
    assert document["items"][0]["row_total_incl_tax"] == Decimal("100.00")
    assert document["items"][0]["row_total"] == Decimal("84.03")
    assert document["items"][0]["tax_amount"] == Decimal("15.97")
    assert document["shipping_incl_tax"] == Decimal("19.00")
    assert document["shipping_amount"] == Decimal("15.97")
    assert document["shipping_tax_amount"] == Decimal("3.03")
    assert document["subtotal"] + document["shipping_amount"] + document["tax_amount"] == Decimal("119.00")
    assert "differs" not in comment(document)


def test_totals_when_only_the_other_reading_adds_up() -> None:
    bought = line(item_amount=Decimal("100.00"), tax_amount=Decimal("19.00"))
    included = entity(order(bought, total="100.00"))
    assert included["items"][0]["row_total"] == Decimal("81.00")
    added = entity(order(bought, total="119.00", currency="EUR"), marketplace_id=DE)
    assert added["items"][0]["row_total"] == Decimal("100.00")
    assert "differs" not in comment(included) + comment(added)


def test_totals_when_no_reading_adds_up() -> None:
    document = entity(order(line(tax_amount=Decimal("0.80")), total="25.00"))
    assert document["grand_total"] == Decimal("25.00")
    assert document["subtotal"] == Decimal("10.00")
    assert "differs from its lines by 14.20 USD" in comment(document)


def test_totals_when_the_store_takes_no_tax() -> None:
    document = entity(order(line(tax_amount=Decimal("0.80")), total="10.80"), is_amazon_tax_used=False)
    assert document["grand_total"] == Decimal("10.80")
    assert document["tax_amount"] == document["items"][0]["tax_amount"] == 0
    assert document["items"][0]["row_total"] == Decimal("10.00")
    assert "tax of 0.80 USD is in the grand total only" in comment(document)
    assert "differs" not in comment(document)


def test_totals_when_there_are_gift_wrap_and_fees() -> None:
    bought = line(shipping_amount=Decimal("4.00"), gift_wrap_amount=Decimal("3.00"), other_amount=Decimal("1.50"))
    document = entity(order(bought, total="18.50"))
    assert document["shipping_amount"] == Decimal("8.50")
    assert "3.00 USD for gift wrap" in comment(document)
    assert "1.50 USD of other charges" in comment(document)


def test_totals_when_a_charge_is_negative() -> None:
    document = entity(order(line(shipping_amount=Decimal("4.00"), other_amount=Decimal("-1.50")), total="12.50"))
    assert document["shipping_amount"] == Decimal("4.00")
    assert "differs from its lines by -1.50 USD" in comment(document)


def test_discount_when_it_is_more_than_the_goods() -> None:
    bought = line(item_amount=Decimal("3.00"), shipping_amount=Decimal("6.00"), discount_amount=Decimal("6.00"))
    document = entity(order(bought, total="3.00"))
    assert document["items"][0]["discount_amount"] == Decimal("3.00")
    assert document["shipping_discount_amount"] == Decimal("3.00")
    assert document["discount_amount"] == Decimal("-6.00")


def test_totals_when_a_replacement_costs_nothing() -> None:
    free = line(item_amount=Decimal("0.00"), tax_amount=Decimal("0.00"))
    document = entity(order(free, total="0.00", replaced_amazon_order_id="111-0000000-0000000"))
    assert document["grand_total"] == 0
    assert document["items"][0]["price"] == 0
    assert "Replaces Amazon order 111-0000000-0000000" in comment(document)


def test_totals_when_amazon_gives_unit_prices_only() -> None:
    bought = line(ordered_qty=2, item_amount=None, unit_price_amount=Decimal("5.25"))
    assert entity(order(bought, total="10.50"))["subtotal"] == Decimal("10.50")


def test_items_when_a_line_was_emptied() -> None:
    document = entity(order(line(1), line(2, ordered_qty=0, item_amount=None), total="10.00"))
    assert [item["ext_order_item_id"] for item in document["items"]] == ["item-1"]
    assert document["total_qty_ordered"] == 1


cents = st.integers(0, 500_00).map(lambda amount: Decimal(amount).scaleb(-2))
yen = st.integers(0, 50_000).map(Decimal)


@st.composite
def priced_orders(draw: st.DrawFn) -> tuple[Order, str, bool]:
    """An order, its marketplace, and whether it takes Amazon's tax; the grand total adds up one way or not at all."""
    marketplace_id, currency, money = draw(st.sampled_from([(US, "USD", cents), (DE, "EUR", cents), (JP, "JPY", yen)]))
    lines = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        item = draw(money)
        lines.append(
            line(
                number,
                ordered_qty=draw(st.integers(1, 9)),
                item_amount=item,
                shipping_amount=draw(st.none() | money),
                gift_wrap_amount=draw(st.none() | money),
                other_amount=draw(st.none() | money | money.map(lambda amount: -amount)),
                tax_amount=draw(st.none() | money.map(lambda tax, most=item: min(tax, most))),
                discount_amount=draw(st.none() | money),
            )
        )
    gross = sum(
        (each.item_amount or 0)
        + (each.shipping_amount or 0)
        + (each.gift_wrap_amount or 0)
        + (each.other_amount or 0)
        - (each.discount_amount or 0)
        for each in lines
    )
    tax = sum(each.tax_amount or 0 for each in lines)
    total = draw(st.sampled_from([Decimal(gross), Decimal(gross + tax)]) | money)
    bought = order(*lines, total=str(total), currency=currency)
    return bought, marketplace_id, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(priced_orders())
def test_totals_when_amounts_are_random(case: tuple[Order, str, bool]) -> None:
    bought, marketplace_id, is_tax_used = case
    document = entity(bought, marketplace_id=marketplace_id, is_amazon_tax_used=is_tax_used)
    items = document["items"]
    assert document["grand_total"] == bought.grand_total_amount
    assert document["total_due"] == bought.grand_total_amount
    assert document["subtotal"] == sum(item["row_total"] for item in items)
    assert document["tax_amount"] == sum(item["tax_amount"] for item in items) + document["shipping_tax_amount"]
    discounts = sum(item["discount_amount"] for item in items) + document["shipping_discount_amount"]
    assert document["discount_amount"] == -discounts
    assert discounts == sum(each.discount_amount or 0 for each in bought.lines)
    assert document["shipping_incl_tax"] == document["shipping_amount"] + document["shipping_tax_amount"]
    for item in items:
        assert item["row_total_incl_tax"] - item["row_total"] == item["tax_amount"]
        assert abs(item["price"] * item["qty_ordered"] - item["row_total"]) <= Decimal("0.001")
    for name, value in {**document, **{f"item.{key}": value for item in items for key, value in item.items()}}.items():
        prefix, _, field = name.rpartition(".")
        if field.startswith("base_") and not field.startswith("base_to_") and field != "base_currency_code":
            source = items[-1] if prefix else document
            assert value == source[field.removeprefix("base_")]
    assert not [path for path, value in leaves(document) if isinstance(value, float)]

    # What the parts miss is exactly what the comment says.
    parts = document["subtotal"] + document["shipping_amount"] + document["tax_amount"] + document["discount_amount"]
    told = re.findall(r"(?:Amazon's tax of|differs from its lines by) (\S+) ", comment(document))
    assert bought.grand_total_amount - parts == sum(map(Decimal, told))


@settings(max_examples=200, deadline=None)
@given(priced_orders())
def test_totals_when_amazon_adds_up_by_its_convention(case: tuple[Order, str, bool]) -> None:
    bought, marketplace_id, _ = case
    lines = tuple(replace(each, other_amount=abs(each.other_amount or Decimal(0))) for each in bought.lines)
    total = sum(
        (each.item_amount or 0)
        + (each.shipping_amount or 0)
        + (each.gift_wrap_amount or 0)
        + (each.other_amount or 0)
        - (each.discount_amount or 0)
        + (0 if MARKETPLACES[marketplace_id].prices_include_tax else each.tax_amount or 0)
        for each in lines
    )
    document = entity(replace(bought, lines=lines, grand_total_amount=Decimal(total)), marketplace_id=marketplace_id)
    parts = document["subtotal"] + document["shipping_amount"] + document["tax_amount"] + document["discount_amount"]
    assert parts == total
    assert "differs" not in comment(document)


# People


def test_address_when_amazon_gives_all() -> None:
    document = entity(order(line(), total="10.00"))
    delivery = shipping(document)["address"]
    assert (delivery["firstname"], delivery["lastname"]) == ("Grace", "Brewster Hopper")
    assert delivery["street"] == ["1 Compiler Way", "Apt 9"]
    assert (delivery["region"], delivery["region_code"], delivery["country_id"]) == ("VA", "VA", "US")
    assert shipping(document)["method"] == "flatrate_flatrate"
    billing = document["billing_address"]
    assert billing == {**delivery, "address_type": "billing", "firstname": "Ada", "lastname": "Lovelace"}
    assert document["customer_email"] == "abc123@marketplace.amazon.com"
    assert (document["customer_firstname"], document["customer_lastname"]) == ("Ada", "Lovelace")
    assert (document["customer_is_guest"], document["customer_group_id"]) == (1, 0)


@pytest.mark.parametrize("given", [{}, {"buyer": {}, "recipient": {"deliveryAddress": {"name": None}}}, {"buyer": []}])
def test_address_when_amazon_withholds_the_buyer(given: dict[str, Any]) -> None:
    document = entity(order(line(), total="10.00", currency="EUR"), Contact(given), DE)
    delivery = shipping(document)["address"]
    assert (delivery["firstname"], delivery["lastname"]) == ("Amazon", "Customer")
    assert (delivery["street"], delivery["city"]) == (["Withheld by Amazon"], "Withheld")
    assert (delivery["postcode"], delivery["telephone"], delivery["country_id"]) == ("00000", "0000000000", "DE")
    assert document["customer_email"] == delivery["email"] == f"{AMAZON_ORDER_ID}@amazon.invalid"
    assert document["billing_address"]["lastname"] == "Customer"


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Madonna", "Madonna", "Customer"),
        ("  Jean   Luc  Picard ", "Jean", "Luc Picard"),
        ("Zoë O’Neil-Müller (2nd floor)", "Zoë", "O'Neil-Müller 2nd floor"),
        ('<b>Bobby</b> "Tables";', "b", "Bobby b Tables"),
        ("山田 太郎", "山田", "太郎"),
        ("अमिताभ बच्चन", "अमिताभ", "बच्चन"),
        ("🎉🎉", "Amazon", "Customer"),
        ("...", "Amazon", "Customer"),
    ],
)
def test_name_when_it_is_unusual(name: str, first: str, last: str) -> None:
    contact = Contact({"buyer": {"buyerName": name}, "recipient": {"deliveryAddress": {"name": name}}})
    document = entity(order(line(), total="10.00"), contact)
    delivery = shipping(document)["address"]
    assert (delivery["firstname"], delivery["lastname"]) == (first, last)
    assert (document["customer_firstname"], document["customer_lastname"]) == (first, last)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"countryCode": "US", "stateOrRegion": "Puerto Rico"}, {"country_id": "PR", "region": None}),
        ({"countryCode": "US", "stateOrRegion": "pr"}, {"country_id": "PR", "region_code": None}),
        ({"countryCode": "uk"}, {"country_id": "GB"}),
        ({"countryCode": "Deutschland"}, {"country_id": "US"}),
        ({"stateOrRegion": "New South Wales"}, {"region": "New South Wales", "region_code": None}),
        ({"stateOrRegion": "ny"}, {"region": "ny", "region_code": "NY"}),
        ({"city": "", "municipality": "Lyngby"}, {"city": "Lyngby"}),
        (
            {"addressLine1": "A", "addressLine2": "A", "addressLine3": "C", "districtOrCounty": "D", "city": "E"},
            {"street": ["A", "C", "D"]},
        ),
        (
            {
                "addressLine1": "A",
                "addressLine2": "B",
                "addressLine3": "C",
                "districtOrCounty": "D",
                "municipality": "M",
            },
            {"street": ["A", "B", "C", "D"], "city": "M"},
        ),
        (
            {"extendedFields": {"streetName": "Rua X", "streetNumber": "9", "neighborhood": "Centro"}},
            {"street": ["Rua X 9", "Centro"]},
        ),
        ({"addressLine1": "x" * 300}, {"street": ["x" * 255]}),
        ({"addressLine1": "x" * 200, "addressLine2": "y" * 100}, {"street": ["x" * 200, "y" * 54]}),
        ({"addressLine1": "Line\r\none\t🎉"}, {"street": ["Line one"]}),
        ({"companyName": "ACME"}, {"company": "ACME"}),
    ],
)
def test_address_when_it_is_unusual(given: dict[str, Any], expected: dict[str, Any]) -> None:
    delivery = shipping(entity(order(line(), total="10.00"), Contact({"recipient": {"deliveryAddress": given}})))[
        "address"
    ]
    assert {key: delivery.get(key) for key in expected} == expected


def test_customer_when_the_store_has_a_fixed_one() -> None:
    document = entity(order(line(), total="10.00"), customer_id=42, fixed_customer_email="amazon@shop.example")
    assert (document["customer_id"], document["customer_is_guest"]) == (42, 0)
    assert document["customer_email"] == "amazon@shop.example"


def test_comment_when_there_is_a_gift_message() -> None:
    message = {"fulfillment": {"packing": {"giftOption": {"giftMessage": "Love <a href='x'>you</a>"}}}}
    document = entity(order(line(), total="10.00"), Contact({"orderItems": {"item-1": message}}))
    assert "Gift message (SKU-1): Love (a href='x')you(/a)" in comment(document)


# What a refusal may say


def test_scrub_when_a_refusal_quotes_the_order() -> None:
    said = 'Address of GRACE BREWSTER HOPPER, "1 Compiler Way": hopper is not "VA"; abc123@marketplace.amazon.com'
    clean = scrub(said, CONTACT)
    for _, value in leaves(CONTACT.document):
        for word in [value, *value.split()]:
            assert len(word) < 3 or word.casefold() not in clean.casefold()
    assert "Address of [removed]" in clean
    assert "VA" not in clean


def test_scrub_when_a_short_value_is_inside_a_word() -> None:
    contact = Contact({"buyer": {"buyerName": "Li", "age": 7, "nothing": None, "yes": True}})
    assert scrub("Li did not validate the quality of 7 items in 77, yes", contact) == (
        "[removed] did not validate the quality of [removed] items in 77, yes"
    )


def test_scrub_when_the_text_is_long_or_there_is_no_contact() -> None:
    assert scrub("x" * 1000, Contact()) == "x" * 300


# Commerce's schema


def strict_schema(file: str) -> dict[str, Any]:
    """The schema of an order, in which unknown fields are errors."""
    definitions = copy.deepcopy(json.loads((MODELS / "commerce" / file).read_text())["definitions"])
    for definition in definitions.values():
        if definition.get("properties"):
            definition["additionalProperties"] = False
    return {"$ref": "#/definitions/sales-data-order-interface", "definitions": definitions}


SCHEMAS = ["openapi-admin-2.4.6-subset.json", "openapi-admin-2.4.9-subset.json", "openapi-accs-subset.json"]


def amazon_examples() -> list[dict[str, Any]]:
    """Every order in the examples of Amazon's model."""
    model = json.loads((MODELS / "amazon" / "orders_2026-01-01.json").read_text(), parse_float=Decimal)
    answers = []
    for operations in model["paths"].values():
        response = operations["get"]["responses"]["200"]
        answers += list(response.get("examples", {}).values())
        answers += [each["response"] for each in response.get("x-amzn-api-sandbox", {}).get("static", [])]
    return [each for answer in answers for each in [*answer.get("orders", []), *filter(None, [answer.get("order")])]]


def staged(payload: dict[str, Any]) -> Order:
    """The order in our words, by the shortest way."""

    def money(parent: dict[str, Any], kind: str) -> Decimal | None:
        rows = parent.get("proceeds", {}).get("breakdowns", [])
        return next((Decimal(row["subtotal"]["amount"]) for row in rows if row["type"] == kind), None)

    total = payload["proceeds"]["grandTotal"]
    return Order(
        amazon_order_id=payload["orderId"],
        account_name="acme",
        marketplace_id=payload["salesChannel"]["marketplaceId"],
        amazon_status=payload["fulfillment"]["fulfillmentStatus"],
        fulfilled_by=payload["fulfillment"]["fulfilledBy"],
        purchased_at=datetime.fromisoformat(payload["createdTime"]),
        currency_code=total["currencyCode"],
        grand_total_amount=Decimal(total["amount"]),
        lines=tuple(
            OrderLine(
                amazon_item_id=item["orderItemId"],
                seller_sku=item["product"]["sellerSku"],
                ordered_qty=item["quantityOrdered"],
                item_amount=money(item, "ITEM"),
                shipping_amount=money(item, "SHIPPING"),
                tax_amount=money(item, "TAX"),
            )
            for item in payload["orderItems"]
        ),
    )


@needs_models
@pytest.mark.parametrize("file", SCHEMAS)
def test_entity_when_held_against_the_schema(file: str) -> None:
    validator = jsonschema.Draft7Validator(strict_schema(file))
    everything = line(
        shipping_amount=Decimal("4.00"),
        gift_wrap_amount=Decimal(1),
        tax_amount=Decimal("0.8"),
        discount_amount=Decimal(1),
    )
    documents = [
        entity(order(everything, line(2), total="25.00", programs=("PRIME",)), order_number_source="amazon"),
        entity(order(line(), total="10.00"), Contact(), customer_id=3, is_amazon_tax_used=False),
    ]
    examples = amazon_examples()
    assert len(examples) >= 4
    for example in examples:
        landed = split_order(example)
        found = staged(landed.payload)
        documents.append(entity(found, Contact(landed.contact), found.marketplace_id or US))
        assert documents[-1]["grand_total"] == Decimal(example["proceeds"]["grandTotal"]["amount"])
    for document in documents:
        wire = json.loads(simplejson.dumps(document, use_decimal=True))
        assert [error.json_path + error.message for error in validator.iter_errors(wire)] == []


@needs_models
def test_schema_when_the_entity_is_wrong() -> None:
    validator = jsonschema.Draft7Validator(strict_schema(SCHEMAS[1]))
    document = json.loads(simplejson.dumps(entity(order(line(), total="10.00")), use_decimal=True))
    del document["billing_address"]["telephone"]
    document["items"][0]["sku_of_amazon"] = "x"
    document["total_due"] = "10.00"
    assert len(list(validator.iter_errors(document))) == 3
