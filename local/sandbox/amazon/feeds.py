"""The local Amazon's feeds: documents, the life cycle of a feed, and what an order acknowledgement does to orders.

Rules: feeds_2021-06-30.json. Of the feed types it knows the order acknowledgement only. As the real one, it carries out
a document as often as a feed is created with it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

from local.sandbox.amazon.errors import Refusal, invalid
from local.sandbox.amazon.search import format_time, parse_time

FEED_TYPE = "POST_ORDER_ACKNOWLEDGEMENT_DATA"
URL_LIFE = timedelta(minutes=5)
IN_QUEUE, IN_PROGRESS = timedelta(seconds=30), timedelta(seconds=60)  # a feed is done after both
_REASONS = frozenset(
    ("NoInventory", "BuyerCanceled", "GeneralAdjustment", "ShippingAddressUndeliverable", "CustomerExchange")
)
_ENDS = ("DONE", "FATAL", "CANCELLED")


@dataclass
class _Document:
    seller_id: str
    content_type: str
    secret: str
    url_ends_at: str
    content: str | None = None  # base64


@dataclass
class _Feed:
    feed_id: str
    seller_id: str
    marketplace_id: str
    document_id: str
    created_at: str
    end: str  # the status in which it ends, one of _ENDS
    is_silent: bool  # its report has counts only
    report_id: str | None = None
    is_over: bool = False


# Takes seller, order id, the lines to cancel: why they cannot be canceled; None when they are.
Cancel = Callable[[str, str, set[str], datetime], str | None]


class Feeds:
    """All documents and feeds. Not thread-safe: the state of the local Amazon guards it."""

    def __init__(self) -> None:
        self.ends: list[str] = []  # how the next feeds end, one each; then DONE
        self.silent_reports = 0  # so many of the next feeds have a report without a list
        self._documents: dict[str, _Document] = {}
        self._feeds: dict[str, _Feed] = {}

    def add_document(self, seller_id: str, content_type: Any, now: datetime) -> tuple[str, str]:
        """A new, empty document: its id, and the path at which it takes its content for five minutes."""
        if not isinstance(content_type, str) or not content_type:
            raise invalid("contentType is required.")
        return self._add(_Document(seller_id, content_type, "", ""), now)

    def open_document(self, seller_id: str, document_id: str, now: datetime) -> tuple[str, str]:
        """The path at which a document can be read for five minutes. Raises Refusal (404)."""
        document = self._documents.get(document_id)
        if document is None or document.seller_id != seller_id or document.content is None:
            raise Refusal(404, "NotFound", "The feed document was not found.")
        return self._path(document_id, document, now)

    def content(self, document_id: str, secret: str, now: datetime) -> bytes:
        """What a document holds, for whoever has its address. Raises Refusal (403)."""
        document = self._admitted(document_id, secret, now)
        return base64.b64decode(document.content or "")

    def put_content(self, document_id: str, secret: str, content_type: str, content: bytes, now: datetime) -> None:
        """Take a document's content. Raises Refusal (403), also when the content type is not the announced one."""
        document = self._admitted(document_id, secret, now)
        if document.content_type != content_type:
            raise Refusal(403, "SignatureDoesNotMatch", "The content type is not the one that was announced.")
        document.content = base64.b64encode(content).decode()

    def create(self, seller_id: str, own_marketplaces: tuple[str, ...], body: Any, now: datetime) -> str:
        """A new feed's id. Raises Refusal (400)."""
        if not isinstance(body, dict) or body.get("feedType") != FEED_TYPE:
            raise invalid(f"feedType must be {FEED_TYPE}.")
        marketplaces = body.get("marketplaceIds")
        if not isinstance(marketplaces, list) or not 1 <= len(marketplaces) <= 25:
            raise invalid("marketplaceIds must have 1 to 25 marketplaces.")
        if not set(marketplaces) <= set(own_marketplaces):
            raise invalid("marketplaceIds has a marketplace that the seller does not sell in.")
        document = self._documents.get(str(body.get("inputFeedDocumentId")))
        if document is None or document.seller_id != seller_id or document.content is None:
            raise invalid("inputFeedDocumentId is no document that was uploaded.")
        feed_id = str(50000 + len(self._feeds) + 1)
        end = self.ends.pop(0) if self.ends else "DONE"
        assert end in _ENDS, end
        is_silent = self.silent_reports > 0
        self.silent_reports -= is_silent
        self._feeds[feed_id] = _Feed(
            feed_id, seller_id, marketplaces[0], body["inputFeedDocumentId"], now.isoformat(), end, is_silent
        )
        return feed_id

    def one(self, seller_id: str, feed_id: str, now: datetime) -> dict[str, Any]:
        """A feed as getFeed shows it. Raises Refusal (404)."""
        feed = self._feeds.get(feed_id)
        if feed is None or feed.seller_id != seller_id:
            raise Refusal(404, "NotFound", f"Feed {feed_id} was not found.")
        return _view(feed, now)

    def listed(self, seller_id: str, query: dict[str, str], now: datetime) -> dict[str, Any]:
        """The page of getFeeds that the query asks for, newest first. Raises Refusal (400)."""
        if "nextToken" in query:
            if len(query) > 1:
                raise invalid("nextToken must be the only parameter.")
            try:
                query = dict(
                    part.split("=", 1) for part in base64.urlsafe_b64decode(query["nextToken"]).decode().split("&")
                )
            except ValueError:
                raise invalid("nextToken is invalid.") from None
        if not query.get("feedTypes"):
            raise invalid("feedTypes or nextToken is required.")
        size, start = int(query.get("pageSize", "10")), int(query.get("start", "0"))
        if not 1 <= size <= 100:
            raise invalid("pageSize must be from 1 to 100.")
        since = parse_time(query["createdSince"]) if "createdSince" in query else now - timedelta(days=90)
        marketplaces = query.get("marketplaceIds", "").split(",") if query.get("marketplaceIds") else None
        found = [
            _view(feed, now)
            for feed in reversed(self._feeds.values())
            if feed.seller_id == seller_id
            and FEED_TYPE in query["feedTypes"].split(",")
            and datetime.fromisoformat(feed.created_at) >= since
            and (marketplaces is None or feed.marketplace_id in marketplaces)
        ]
        answer: dict[str, Any] = {"feeds": found[start : start + size]}
        if len(found) > start + size:
            following = "&".join(f"{name}={value}" for name, value in (query | {"start": str(start + size)}).items())
            answer["nextToken"] = base64.urlsafe_b64encode(following.encode()).decode()
        return answer

    def catch_up(self, now: datetime, cancel: Cancel) -> None:
        """End every feed whose time is over; what it cancels, `cancel` does."""
        for feed in self._feeds.values():
            over_at = datetime.fromisoformat(feed.created_at) + IN_QUEUE + IN_PROGRESS
            if feed.is_over or over_at > now:
                continue
            feed.is_over = True
            if feed.end == "DONE":
                content = base64.b64decode(self._documents[feed.document_id].content or "")
                report = _carry_out(feed, content, over_at, cancel)
                if report is None:
                    feed.end = "FATAL"
                    continue
                feed.report_id, _ = self._add(_Document(feed.seller_id, "text/xml", "", "", report), now)

    def snapshot(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "documents": {document_id: asdict(document) for document_id, document in self._documents.items()},
            "feeds": [asdict(feed) for feed in self._feeds.values()],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Restore everything from a `snapshot`."""
        self._documents = {document_id: _Document(**fields) for document_id, fields in snapshot["documents"].items()}
        self._feeds = {fields["feed_id"]: _Feed(**fields) for fields in snapshot["feeds"]}

    def all(self) -> list[dict[str, Any]]:
        """Every feed with its document, oldest first, for tests."""
        return [
            asdict(feed) | {"content": base64.b64decode(self._documents[feed.document_id].content or "")}
            for feed in self._feeds.values()
        ]

    def _add(self, document: _Document, now: datetime) -> tuple[str, str]:
        document_id = f"amzn1.tortuga.4.{secrets.token_hex(12)}"
        self._documents[document_id] = document
        return self._path(document_id, document, now)

    def _path(self, document_id: str, document: _Document, now: datetime) -> tuple[str, str]:
        document.secret, document.url_ends_at = secrets.token_hex(16), (now + URL_LIFE).isoformat()
        return document_id, f"/sandbox-documents/{document_id}?X-Amz-Signature={document.secret}"

    def _admitted(self, document_id: str, secret: str, now: datetime) -> _Document:
        document = self._documents.get(document_id)
        if document is None or document.secret != secret or datetime.fromisoformat(document.url_ends_at) <= now:
            raise Refusal(403, "AccessDenied", "Request has expired.")
        return document


def _view(feed: _Feed, now: datetime) -> dict[str, Any]:
    created_at = datetime.fromisoformat(feed.created_at)
    started_at = created_at + IN_QUEUE
    view: dict[str, Any] = {
        "feedId": feed.feed_id,
        "feedType": FEED_TYPE,
        "marketplaceIds": [feed.marketplace_id],
        "createdTime": format_time(created_at),
        "processingStatus": feed.end if feed.is_over else "IN_PROGRESS" if now >= started_at else "IN_QUEUE",
    }
    if now >= started_at:
        view["processingStartTime"] = format_time(started_at)
    if feed.is_over:
        view["processingEndTime"] = format_time(started_at + IN_PROGRESS)
        if feed.report_id is not None:
            view["resultFeedDocumentId"] = feed.report_id
    return view


def _carry_out(feed: _Feed, content: bytes, at: datetime, cancel: Cancel) -> str | None:
    """Do what the messages say; the report (base64). None when the document is no envelope of acknowledgements."""
    try:
        envelope = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return None
    if envelope.findtext("MessageType") != "OrderAcknowledgement":
        return None
    if envelope.findtext("Header/MerchantIdentifier") != feed.seller_id:
        return None
    errors: list[tuple[str, str]] = []
    messages = envelope.findall("Message")
    for message in messages:
        why = _cancel_one(feed.seller_id, message, at, cancel)
        if why is not None:
            errors.append((message.findtext("MessageID") or "", why))
    return _report(feed, len(messages), errors)


def _cancel_one(seller_id: str, message: ElementTree.Element, at: datetime, cancel: Cancel) -> str | None:
    order_id = message.findtext("OrderAcknowledgement/AmazonOrderID") or ""
    if message.findtext("OrderAcknowledgement/StatusCode") != "Failure":
        return None  # an acknowledgement changes nothing
    items = message.findall("OrderAcknowledgement/Item")
    if not items or any(item.findtext("CancelReason") not in _REASONS for item in items):
        return "Invalid cancel reason."
    return cancel(seller_id, order_id, {item.findtext("AmazonOrderItemCode") or "" for item in items}, at)


def _report(feed: _Feed, count: int, errors: list[tuple[str, str]]) -> str:
    envelope = ElementTree.Element("AmazonEnvelope")
    report = ElementTree.SubElement(ElementTree.SubElement(envelope, "Message"), "ProcessingReport")
    ElementTree.SubElement(report, "DocumentTransactionID").text = feed.feed_id
    ElementTree.SubElement(report, "StatusCode").text = "Complete"
    summary = ElementTree.SubElement(report, "ProcessingSummary")
    for name, value in (
        ("MessagesProcessed", count),
        ("MessagesSuccessful", count - len(errors)),
        ("MessagesWithError", len(errors)),
        ("MessagesWithWarning", 0),
    ):
        ElementTree.SubElement(summary, name).text = str(value)
    for message_id, why in () if feed.is_silent else errors:
        result = ElementTree.SubElement(report, "Result")
        ElementTree.SubElement(result, "MessageID").text = message_id
        ElementTree.SubElement(result, "ResultCode").text = "Error"
        ElementTree.SubElement(result, "ResultMessageCode").text = "18028"
        ElementTree.SubElement(result, "ResultDescription").text = why
    return base64.b64encode(ElementTree.tostring(envelope, encoding="utf-8", xml_declaration=True)).decode()
