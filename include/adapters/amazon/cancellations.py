"""Cancels orders through Amazon's order acknowledgement feed: the document, and what its report says of each message.

The feed's StatusCode `Failure` cancels an order: https://developer-docs.amazon.com/sp-api/docs/order-feed-type-values
(checked 2026-11). The Selling Partner API has no public operation for it: `cancelOrder` was withdrawn from its models.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from include.adapters.amazon.feeds import FeedsClient
from include.domain.cancellations import BatchReport, BatchState, Cancellation
from include.domain.errors import UnavailableError

FEED_TYPE = "POST_ORDER_ACKNOWLEDGEMENT_DATA"
# Our reasons in the words of the feed: those that every published list of them has. PricingError is offered by Seller
# Central only, so a wrong price goes as a general adjustment.
FEED_REASONS = {
    "NO_INVENTORY": "NoInventory",
    "BUYER_CANCELED": "BuyerCanceled",
    "SHIPPING_ADDRESS_UNDELIVERABLE": "ShippingAddressUndeliverable",
    "CUSTOMER_EXCHANGE": "CustomerExchange",
    "PRICING_ERROR": "GeneralAdjustment",
}
_LONGEST_REASON = 200


class FeedCancellations:
    """CancellationGateway of one account, by feeds."""

    def __init__(self, feeds: FeedsClient, seller_id: str) -> None:
        self._feeds = feeds
        self._seller_id = seller_id

    def now(self) -> datetime:
        """Amazon's clock."""
        return self._feeds.client.server_time()

    def upload(self, cancellations: Sequence[Cancellation]) -> str:
        """The id of the feed document."""
        return self._feeds.upload(acknowledgement_feed(self._seller_id, cancellations))

    def submit(self, document_id: str, marketplace_id: str) -> str:
        """The feed's id."""
        return self._feeds.create_feed(FEED_TYPE, marketplace_id, document_id)

    def submitted_since(self, since: datetime, marketplace_id: str) -> Sequence[str]:
        """The ids of the feeds of this type."""
        return self._feeds.feeds_since(FEED_TYPE, marketplace_id, since)

    def state(self, batch_id: str) -> BatchState:
        """How far the feed is."""
        return self._feeds.feed(batch_id)

    def report(self, report_id: str, message_ids: Sequence[int]) -> BatchReport:
        """The feed's processing report, read."""
        return read_report(self._feeds.download(report_id), message_ids)

    def amazon_status(self, amazon_order_id: str) -> str:
        """The order's status, read now."""
        return self._feeds.client.get_order(amazon_order_id).amazon_status


def acknowledgement_feed(seller_id: str, cancellations: Sequence[Cancellation]) -> bytes:
    """The feed document that cancels these orders, whole. No personal data is in it."""
    envelope = ElementTree.Element(
        "AmazonEnvelope",
        {
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "amzn-envelope.xsd",
        },
    )
    header = ElementTree.SubElement(envelope, "Header")
    _add(header, "DocumentVersion", "1.01")
    _add(header, "MerchantIdentifier", seller_id)
    _add(envelope, "MessageType", "OrderAcknowledgement")
    for cancellation in cancellations:
        message = ElementTree.SubElement(envelope, "Message")
        _add(message, "MessageID", str(cancellation.message_id))
        acknowledgement = ElementTree.SubElement(message, "OrderAcknowledgement")
        _add(acknowledgement, "AmazonOrderID", cancellation.amazon_order_id)
        _add(acknowledgement, "StatusCode", "Failure")
        for amazon_item_id in cancellation.amazon_item_ids:
            item = ElementTree.SubElement(acknowledgement, "Item")
            _add(item, "AmazonOrderItemCode", amazon_item_id)
            _add(item, "CancelReason", FEED_REASONS[cancellation.reason])
    content: bytes = ElementTree.tostring(envelope, encoding="utf-8", xml_declaration=True)
    return content


def read_report(content: bytes, message_ids: Sequence[int]) -> BatchReport:
    """What a processing report says of the messages. It lists refused ones; accepted ones are only counted.

    Raises UnavailableError for what is no report.
    """
    try:
        if b"<!DOCTYPE" in content:
            raise ValueError("a report has no document type")
        report = ElementTree.fromstring(content).find(".//ProcessingReport")
        if report is None:
            raise ValueError("no report")
        processed = _count(report, "MessagesProcessed")
        with_error = _count(report, "MessagesWithError")
        results = [
            (int(result.findtext("MessageID") or ""), result)
            for result in report.findall("Result")
            if result.findtext("ResultCode") == "Error"
        ]
    except (ElementTree.ParseError, ValueError):
        raise UnavailableError(
            "amazon downloadFeedDocument: the processing report cannot be read. Resolution: it is tried again; if it "
            "stays so, look at the orders in Seller Central."
        ) from None
    known = set(message_ids)
    refusals = {number: _reason(result) for number, result in results if number in known}
    is_complete = processed == len(known) and with_error == len(refusals) == len({number for number, _ in results})
    return BatchReport(refusals, is_complete)


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _count(report: ElementTree.Element, name: str) -> int:
    return int(report.findtext(f"ProcessingSummary/{name}") or "")


def _reason(result: ElementTree.Element) -> str:
    """Amazon's code and words. They speak of our own message, in which there is no personal data."""
    code = (result.findtext("ResultMessageCode") or "").strip()[:20]
    words = " ".join((result.findtext("ResultDescription") or "").split())[:_LONGEST_REASON].rstrip(". ")
    return " ".join(part for part in (f"({code})" if code else "", words) if part) or "no reason given"
