"""Amazon's personal part of an order: merged version by version, read into our words."""

from __future__ import annotations

from typing import Any

import pytest

from include.adapters.amazon.contacts import merge_contact, read_contact
from include.domain.contacts import Buyer, Contact, Recipient, buyer_name

DOCUMENT = {
    "buyer": {"buyerName": " Ada Lovelace ", "buyerEmail": "a@example.com", "buyerCompanyName": "Engines"},
    "recipient": {
        "deliveryAddress": {
            "name": "Grace Hopper",
            "companyName": "Navy",
            "addressLine1": "1 Compiler Way",
            "addressLine3": "Apt 9",
            "city": "Arlington",
            "districtOrCounty": "Fort Myer",
            "stateOrRegion": "VA",
            "municipality": "Arlington County",
            "postalCode": "22201",
            "countryCode": "US",
            "phone": "555",
            "doorman": ["Hal"],
        }
    },
    "orderItems": {
        "1": {"fulfillment": {"packing": {"giftOption": {"giftMessage": "For you"}}}},
        "2": {"product": {"serialNumbers": [7]}},
    },
}


def test_contact_has_every_field_when_amazon_gives_all() -> None:
    contact = read_contact(DOCUMENT)
    assert contact.buyer == Buyer("Ada Lovelace", "a@example.com", "Engines")
    assert contact.recipient == Recipient(
        name="Grace Hopper",
        company="Navy",
        address_lines=("1 Compiler Way", "Apt 9"),
        city="Arlington",
        municipality="Arlington County",
        district="Fort Myer",
        region="VA",
        postal_code="22201",
        country_code="US",
        phone="555",
    )
    assert contact.gift_messages == {"1": "For you"}
    assert {"Hal", "7", " Ada Lovelace ", "For you", "22201"} <= set(contact.texts()), "unknown fields, too"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"buyer": "odd", "recipient": {"deliveryAddress": None}, "orderItems": []},
        {"buyer": {"buyerName": 7}, "recipient": [], "orderItems": {"1": {"fulfillment": {"packing": "odd"}}}},
        {"buyer": None, "recipient": {"deliveryAddress": {"name": None, "extendedFields": "odd"}}},
    ],
)
def test_contact_is_empty_when_amazon_withholds_it_or_sends_another_shape(document: dict[str, Any]) -> None:
    contact = read_contact(document)
    assert (contact.buyer, contact.recipient, contact.gift_messages) == (Buyer(), Recipient(), {})


def test_address_lines_are_put_together_when_amazon_gives_the_street_in_parts() -> None:
    parts = {"streetName": "Rua X", "streetNumber": "9", "complement": "", "neighborhood": "Centro"}
    contact = read_contact({"recipient": {"deliveryAddress": {"extendedFields": parts}}})
    assert contact.recipient.address_lines == ("Rua X 9", "Centro")


def test_contact_shows_nothing_when_it_is_printed() -> None:
    contact = read_contact(DOCUMENT)
    for shown in (repr(contact), str(contact), repr(contact.buyer), f"{contact.recipient}", repr([contact])):
        for text in contact.texts():
            assert len(text) < 3 or text not in shown


def test_texts_hold_every_field_when_the_contact_was_not_read_from_a_document() -> None:
    contact = Contact(Buyer("A", "B", "C"), Recipient("D", address_lines=("E", "F"), phone="G"), {"1": "H"})
    assert set("ABCDEFGH") <= set(contact.texts())


@pytest.mark.parametrize(
    ("buyer", "recipient", "expected"),
    [("Ada", "Grace", "Ada"), ("  ", " 山田 太郎 ", "山田 太郎"), ("", "", "")],
)
def test_buyer_name_is_the_recipients_when_amazon_withholds_the_buyers(
    buyer: str, recipient: str, expected: str
) -> None:
    assert buyer_name(Contact(Buyer(buyer), Recipient(recipient))) == expected


OLD_ADDRESS = {"name": "A B", "addressLine1": "1 Main St", "addressLine2": "Flat 2", "city": "X", "phone": "555"}


def test_known_address_and_email_are_kept_when_a_newer_version_withholds_a_part() -> None:
    old = {"recipient": {"deliveryAddress": OLD_ADDRESS}, "buyer": {"buyerName": "A B", "buyerEmail": "a@example.com"}}
    new = {"recipient": {"deliveryAddress": {"city": "X", "phone": ""}}, "buyer": {"buyerName": "A. B."}}
    merged = merge_contact(old, new)
    assert merged["recipient"]["deliveryAddress"] == OLD_ADDRESS
    assert merged["buyer"] == {"buyerName": "A. B.", "buyerEmail": "a@example.com"}


def test_addresses_are_not_mixed_when_amazon_sends_another_one() -> None:
    moved = {"name": "A B", "addressLine1": "9 Side St", "city": "Y"}
    merged = merge_contact({"recipient": {"deliveryAddress": OLD_ADDRESS}}, {"recipient": {"deliveryAddress": moved}})
    assert merged == {"recipient": {"deliveryAddress": moved}}


def test_items_are_merged_by_id_when_a_newer_version_adds_or_changes_some() -> None:
    old = {"orderItems": {"1": {"note": "a", "x": 1}}, "tax": {"taxRegistrations": [{"legalName": "Old"}]}}
    new = {"orderItems": {"1": {"note": "b"}, "2": {"note": "c"}}, "tax": {"taxRegistrations": []}}
    assert merge_contact(old, new) == {
        "orderItems": {"1": {"note": "b", "x": 1}, "2": {"note": "c"}},
        "tax": {"taxRegistrations": [{"legalName": "Old"}]},
    }
