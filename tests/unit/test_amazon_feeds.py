"""What we send to Amazon to cancel orders, and how its report is read; bodies held against Amazon's model."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import jsonschema
import pytest

from include.adapters.amazon.cancellations import FEED_REASONS, FEED_TYPE, acknowledgement_feed, read_report
from include.domain.cancellations import CANCEL_REASONS, Cancellation, why_not_cancelable
from include.domain.errors import UnavailableError
from tests.support.models import MODELS, needs_models

FEEDS = MODELS / "amazon" / "feeds_2021-06-30.json"
# Reasons that every published list of the feed has (reference: amazon-sp-api.md, section 3.1).
PUBLISHED = {"NoInventory", "BuyerCanceled", "GeneralAdjustment", "ShippingAddressUndeliverable", "CustomerExchange"}


def report(*results: tuple[int, str, str], processed: int, with_error: int) -> bytes:
    listed = "".join(
        f"<Result><MessageID>{number}</MessageID><ResultCode>{code}</ResultCode>"
        f"<ResultMessageCode>18028</ResultMessageCode><ResultDescription>{words}</ResultDescription></Result>"
        for number, code, words in results
    )
    return (
        "<?xml version='1.0' encoding='ISO-8859-1'?><AmazonEnvelope><Message><ProcessingReport>"
        f"<ProcessingSummary><MessagesProcessed>{processed}</MessagesProcessed>"
        f"<MessagesWithError>{with_error}</MessagesWithError></ProcessingSummary>{listed}"
        "</ProcessingReport></Message></AmazonEnvelope>"
    ).encode("iso-8859-1")


def test_feed_cancels_whole_orders_when_it_has_many_messages() -> None:
    feed = acknowledgement_feed(
        "A1SELLER",
        [
            Cancellation(10001, "902-1", "NO_INVENTORY", ("11", "12")),
            Cancellation(10002, "902-2", "PRICING_ERROR", ("21",)),
        ],
    )
    envelope = ElementTree.fromstring(feed)
    assert envelope.findtext("Header/MerchantIdentifier") == "A1SELLER"
    assert envelope.findtext("MessageType") == "OrderAcknowledgement"
    read = [
        (
            message.findtext("MessageID"),
            message.findtext("OrderAcknowledgement/AmazonOrderID"),
            message.findtext("OrderAcknowledgement/StatusCode"),
            [
                (item.findtext("AmazonOrderItemCode"), item.findtext("CancelReason"))
                for item in message.findall("OrderAcknowledgement/Item")
            ],
        )
        for message in envelope.findall("Message")
    ]
    assert read == [
        ("10001", "902-1", "Failure", [("11", "NoInventory"), ("12", "NoInventory")]),
        ("10002", "902-2", "Failure", [("21", "GeneralAdjustment")]),
    ]


def test_every_reason_is_one_that_amazon_publishes_when_it_is_sent() -> None:
    assert set(FEED_REASONS) == set(CANCEL_REASONS)
    assert set(FEED_REASONS.values()) <= PUBLISHED


@needs_models
def test_feed_bodies_fit_amazons_model_when_they_are_sent() -> None:
    model = json.loads(FEEDS.read_text())

    def check(name: str, body: object) -> None:
        jsonschema.validate(body, {"$ref": f"#/definitions/{name}", "definitions": model["definitions"]})

    body = {"feedType": FEED_TYPE, "marketplaceIds": ["ATVPDKIKX0DER"], "inputFeedDocumentId": "d"}
    check("CreateFeedSpecification", body)
    check("CreateFeedDocumentSpecification", {"contentType": "text/xml; charset=UTF-8"})
    with pytest.raises(jsonschema.ValidationError):
        check("CreateFeedSpecification", {**body, "marketplaceIds": []})


# Pitfall 55: DONE does not mean that every message succeeded.
def test_only_its_own_order_is_refused_when_one_message_of_a_done_feed_failed() -> None:
    found = read_report(report((7, "Error", "Ordér gone."), processed=2, with_error=1), [7, 8])
    assert found.refusals == {7: "(18028) Ordér gone"}
    assert found.is_complete


def test_warning_is_no_refusal_when_the_report_lists_one() -> None:
    found = read_report(report((7, "Warning", "late"), processed=2, with_error=0), [7, 8])
    assert (found.refusals, found.is_complete) == ({}, True)


@pytest.mark.parametrize(
    ("content", "refusals"),
    [
        (report(processed=2, with_error=1), {}),  # does not say which
        (report(processed=5, with_error=0), {}),  # of another feed
        (report((99, "Error", "x"), processed=2, with_error=1), {}),  # of a message that is not ours
    ],
)
def test_nothing_counts_as_certain_when_the_report_does_not_agree_with_the_messages(
    content: bytes, refusals: dict[int, str]
) -> None:
    found = read_report(content, [7, 8])
    assert (found.refusals, found.is_complete) == (refusals, False)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"<AmazonEnvelope/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"a\tb\n"]
)
def test_report_is_read_again_when_it_is_none(content: bytes) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        read_report(content, [1])


@pytest.mark.parametrize(
    ("status", "fulfilled_by", "shipments", "why"),
    [
        ("PENDING", "MERCHANT", 0, "verifying the payment"),
        ("PENDING_AVAILABILITY", "MERCHANT", 0, "pre-order"),
        ("PARTIALLY_SHIPPED", "MERCHANT", 1, "a part of it is shipped"),
        ("SHIPPED", "MERCHANT", 1, "refund it in Seller Central"),
        ("CANCELLED", "AMAZON", 0, "canceled it already"),
        ("UNFULFILLABLE", "MERCHANT", 0, "closed it"),
        ("UNSHIPPED", "AMAZON", 0, "Amazon fulfills it"),
        ("UNSHIPPED", None, 0, "Amazon fulfills it"),
        ("SOMETHING_NEW", "MERCHANT", 0, "the status SOMETHING_NEW"),
        ("UNSHIPPED", "MERCHANT", 1, "shipped in Commerce already"),
    ],
)
def test_reason_says_what_is_in_the_way_when_an_order_cannot_be_canceled(
    status: str, fulfilled_by: str | None, shipments: int, why: str
) -> None:
    found = why_not_cancelable(status, fulfilled_by, shipments)
    assert found is not None
    assert why in found
    assert "Resolution: " in found


def test_nothing_is_in_the_way_when_a_merchants_order_is_unshipped() -> None:
    assert why_not_cancelable("UNSHIPPED", "MERCHANT", 0) is None
