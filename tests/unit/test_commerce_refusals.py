"""What is kept of Commerce's words when it refuses: causes that we know and templates; nothing of the buyer."""

from __future__ import annotations

from typing import Any

import pytest

from include.adapters.commerce.errors import explain
from include.domain.contacts import Buyer, Contact, Recipient

# Names of one and two letters, names without spaces between words, a phone that can be written in many ways.
CONTACT = Contact(
    Buyer(name="Bo Li"),
    Recipient(
        name="山田 太郎", address_lines=("12 O'Hara Way",), phone="+49 30 1234567", city="Ü", postal_code="1015 CX"
    ),
    gift_messages={"1": "For our An, with love"},
)
TEXTS = list(CONTACT.texts())


def refusal(message: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    return {"message": message} | ({"parameters": parameters} if parameters else {}) | more


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        (refusal("The requested Payment Method is not available."), "Payment Method is not available"),
        (refusal("The payment method purchaseorder is not allowed for Bo Li."), "Payment Method is not available"),
        (refusal('"%fieldName" is required. Enter and try again.', {"fieldName": "city"}), '"city" is required'),
        (refusal('"region_id" is required. Enter and try again.'), '"region_id" is required'),
        (refusal("Please enter the state/province."), '"state/province" is required'),
        (
            refusal("We can't save the address:\nPhone Number is a required field\nEmail has a wrong format"),
            'We can\'t save the address; "Phone Number" is required; Email has a wrong format',
        ),
        (
            refusal('Invalid value of "%1" provided for the %field field.', {"1": "XX", "field": "countryId"}),
            'An invalid value was given for "countryId"',
        ),
        (refusal("Product that you are trying to add is not available."), "A product is not available"),
        (refusal("The product that was requested doesn't exist. Verify it."), "A product is not available"),
        (refusal("The requested qty of Bo's mug is not available"), "not available in the requested quantity"),
        (refusal("Unique constraint violation found"), "the number of the order is taken"),
        (refusal("The shop does not deliver %1 to %2.", ["mugs", "Bo"]), "The shop does not deliver [1] to [2]."),
    ],
)  # fmt: skip
def test_operator_reads_the_cause_when_it_is_a_common_one(document: dict[str, Any], kept: str) -> None:
    assert kept in explain(400, document, TEXTS).reason


QUOTED = "bo li boli 12 30 1234567 hara 1015 5c71 e5"
QUOTES = [
    refusal("Bo Li is unknown at this address."),
    refusal("山田 太郎 is unknown."),
    refusal("Unknown: Li, Bo"),
    refusal("No parcel service at 12 O'Hara Way; call +49-30/123 45 67 or (030) 1234567"),
    refusal("Number 12 is no house in Ü, 1015CX"),
    refusal("%1 does not live there, says An", ["Bo"]),
    refusal("boli of %1 has no credit", ["Berlin"]),
    refusal("%1 of 12 has no credit", ["Bo"]),
    refusal("%1 in Ü has no credit", ["Bo"]),
    refusal('"%fieldName" is required. Enter and try again.', {"fieldName": "Bo Li"}),
    refusal("Bo Li is a required field"),
    refusal("Invalid value of Bo Li provided for the 山田 field"),
    refusal("The payment method of Bo Li at 12 O'Hara Way is not available"),
    refusal("Sorry", errors=[refusal("%1: call +493012345 67", ["Bo"]), refusal("Dear Bo Li")]),
    refusal("\\u5c71\\u7530 &#23665;&#30000; %E5%B1%B1%E7%94%B0"),
]


@pytest.mark.parametrize("document", QUOTES)
@pytest.mark.parametrize("personal", [TEXTS, None], ids=["contact known", "contact unknown"])
def test_nothing_of_the_buyer_is_kept_when_commerce_quotes_it(
    document: dict[str, Any], personal: list[str] | None
) -> None:
    found = explain(400, document, personal)
    # The number of the text is made of letters and digits by chance.
    words = found.reason.casefold().rpartition("(http")[0] or found.reason.casefold()
    for quoted in QUOTED.split():
        assert quoted not in words.replace(".", " ").replace('"', " ").split(), quoted
    assert words.isascii()


def test_template_is_not_kept_when_the_buyer_is_unknown() -> None:
    document = refusal("The shop does not deliver %1 to %2.", ["mugs", "Bo"])
    assert "not stored" in explain(400, document).reason


def test_reason_says_that_more_was_said_when_only_a_part_is_known() -> None:
    reason = explain(400, refusal("We can't save the address:\nBo Li is not welcome"), TEXTS).reason
    assert reason.startswith("We can't save the address; it gave more, which is not stored")
    assert "HTTP 400" in reason


def test_cause_is_the_same_when_only_names_and_numbers_differ() -> None:
    def cause(name: str, number: str, message: str) -> str:
        personal = [name, number]
        return explain(400, refusal(message.format(name=name, number=number)), personal).cause

    message = 'Credit check of {name} failed at {number}: "{name}"'
    assert (
        cause("Bo Li", "12", message) == cause("山田 太郎", "4 711", message) == cause("Ada Lovelace", "1-2", message)
    )
    assert cause("Bo Li", "12", message) != cause("Bo Li", "12", "Fraud check of {name} failed at {number}")


def test_cause_differs_when_another_field_is_required() -> None:
    message = '"%fieldName" is required. Enter and try again.'
    causes = {
        explain(400, refusal(message, {"fieldName": name}), TEXTS).cause for name in ("telephone", "region", "city")
    }
    assert len(causes) == 3


@pytest.mark.parametrize("document", [None, [], "text", {}, {"message": None}, {"message": "", "errors": [3, {}]}])
def test_refusal_has_no_message_when_the_answer_is_no_error_document(document: Any) -> None:
    assert explain(400, document, TEXTS).reason == "no message"


def test_reason_is_cut_at_300_characters_when_it_is_long() -> None:
    assert len(explain(400, refusal("%1 " + "long " * 200, ["x"]), TEXTS).reason) == 300
