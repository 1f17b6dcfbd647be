"""The people of an Amazon order in Commerce's documents: names and addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.adapters.commerce.address import address_problem
from include.domain.contacts import Buyer, Contact, Recipient
from include.domain.stores import FixedCustomer
from tests.support.commerce_entities import AMAZON_ORDER_ID, CONTACT, DE, comment, entity, line, order, shipping

# People


def test_address_and_customer_are_complete_when_amazon_gives_everything() -> None:
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


def test_address_has_placeholders_when_amazon_withholds_the_buyer() -> None:
    document = entity(order(line(), total="10.00", currency="EUR"), Contact(), DE)
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
def test_name_is_split_and_cleaned_when_it_is_unusual(name: str, first: str, last: str) -> None:
    contact = Contact(Buyer(name=name), Recipient(name=name))
    document = entity(order(line(), total="10.00"), contact)
    delivery = shipping(document)["address"]
    assert (delivery["firstname"], delivery["lastname"]) == (first, last)
    assert (document["customer_firstname"], document["customer_lastname"]) == (first, last)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"country_code": "US", "region": "Puerto Rico"}, {"country_id": "PR", "region": None}),
        ({"country_code": "US", "region": "pr"}, {"country_id": "PR", "region_code": None}),
        ({"country_code": "uk"}, {"country_id": "GB"}),
        ({"country_code": "Deutschland"}, {"country_id": "US"}),
        ({"region": "New South Wales"}, {"region": "New South Wales", "region_code": None}),
        ({"region": "ny"}, {"region": "ny", "region_code": "NY"}),
        ({"city": "", "municipality": "Lyngby"}, {"city": "Lyngby"}),
        (
            {"address_lines": ("A", "A", "C"), "district": "D", "city": "E"},
            {"street": ["A", "C", "D"]},
        ),
        (
            {"address_lines": ("A", "B", "C"), "district": "D", "municipality": "M"},
            {"street": ["A", "B", "C", "D"], "city": "M"},
        ),
        ({"address_lines": ("x" * 300,)}, {"street": ["x" * 255]}),
        ({"address_lines": ("x" * 200, "y" * 100)}, {"street": ["x" * 200, "y" * 54]}),
        ({"address_lines": ("Line\r\none\t🎉",)}, {"street": ["Line one"]}),
        ({"company": "ACME"}, {"company": "ACME"}),
    ],
)
def test_address_is_normalized_when_it_is_unusual(given: dict[str, Any], expected: dict[str, Any]) -> None:
    document = entity(order(line(), total="10.00"), Contact(recipient=Recipient(**given)))
    delivery = shipping(document)["address"]
    assert {key: delivery.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ""),
        ({"city": ""}, "city is missing"),
        ({"city": "🎉"}, "city is missing"),
        ({"city": "", "municipality": "Lyngby"}, ""),
        ({"city": "", "district": "Kings"}, ""),
        ({"city": "", "country_code": "JP", "region": "東京都"}, ""),
        ({"city": "", "country_code": "SG", "region": ""}, ""),
        ({"region": ""}, "region is missing"),
        ({"region": "", "country_code": "us", "city": ""}, "city is missing, region is missing"),
        ({"region": "", "country_code": "DE"}, ""),
        ({"region": "Puerto Rico"}, ""),
        ({"postal_code": " "}, "postcode is missing"),
        ({"postal_code": "", "country_code": "AE"}, ""),
        ({"country_code": ""}, "country_code is missing"),
        ({"country_code": "USA"}, "country_code is not a country code of ISO 3166"),
        ({"country_code": "XX"}, "country_code is not a country code of ISO 3166"),
        ({"country_code": "UK"}, ""),
        ({"name": "", "phone": ""}, ""),
        ({"name": "Ada " + "x" * 256}, "name is longer than 255 characters"),
        ({"name": "x" * 255 + " " + "y" * 255}, ""),
        ({"city": "x" * 256}, "city is longer than 255 characters"),
        ({"address_lines": ("x" * 200, "y" * 55)}, "street is longer than 255 characters"),
        ({"address_lines": ("x" * 200, "y" * 54)}, ""),
        ({"phone": "1" * 300, "postal_code": "2" * 300}, "postcode is longer than 255 characters, phone is longer than "
         "255 characters"),
    ],
)  # fmt: skip
def test_address_problem_names_the_field_when_commerce_cannot_have_it(given: dict[str, Any], expected: str) -> None:
    assert address_problem(Contact(recipient=replace(CONTACT.recipient, **given))) == expected


def test_address_has_no_problem_when_amazon_withholds_it() -> None:
    assert address_problem(Contact()) == ""
    assert address_problem(Contact(recipient=Recipient(city="Bonn", country_code="DE"))) == ""


@pytest.mark.parametrize(("code", "region", "city"), [("JP", "東京都", "東京都"), ("SG", "", "Singapore")])
def test_city_is_filled_when_addresses_of_the_country_have_none(code: str, region: str, city: str) -> None:
    contact = Contact(recipient=replace(CONTACT.recipient, country_code=code, region=region, city=""))
    assert shipping(entity(order(line(), total="10.00"), contact))["address"]["city"] == city


def test_order_gets_the_fixed_customer_when_the_store_has_one() -> None:
    document = entity(order(line(), total="10.00"), customer_id=42, customer=FixedCustomer("amazon@shop.example"))
    assert (document["customer_id"], document["customer_is_guest"]) == (42, 0)
    assert document["customer_email"] == "amazon@shop.example"


def test_gift_message_is_in_the_comment_when_there_is_one() -> None:
    contact = Contact(gift_messages={"item-1": "Love <a href='x'>you</a>"})
    document = entity(order(line(), total="10.00"), contact)
    assert "Gift message (SKU-1): Love (a href='x')you(/a)" in comment(document)
