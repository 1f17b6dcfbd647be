"""Amazon's Feeds API: leave a document with Amazon, have it carried out, ask how far it is, read the report.

Paths, parameters and plans: feeds_2021-06-30.json of github.com/amzn/selling-partner-api-models. Addresses of documents
live five minutes and bear their own right, so they are used at once and kept nowhere.
"""

from __future__ import annotations

import re
import zlib
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from include.adapters.amazon.client import AmazonClient, Plan
from include.adapters.amazon.contract import parse_moment
from include.adapters.amazon.requests import amazon_time
from include.adapters.http import Answer
from include.adapters.transport import LARGEST_ANSWER
from include.domain.cancellations import BatchState, Progress
from include.domain.errors import OutcomeUnknownError, UnavailableError

_FEEDS = "/feeds/2021-06-30/feeds"
_DOCUMENTS = "/feeds/2021-06-30/documents"
_CREATE_DOCUMENT = Plan("createFeedDocument", Decimal("0.5"), Decimal(15))
_CREATE_FEED = Plan("createFeed", Decimal("0.0083"), Decimal(15))
_GET_FEED = Plan("getFeed", Decimal(2), Decimal(15))
_GET_FEEDS = Plan("getFeeds", Decimal("0.0222"), Decimal(10))
_GET_DOCUMENT = Plan("getFeedDocument", Decimal("0.0222"), Decimal(10))
_CONTENT_TYPE = "text/xml; charset=UTF-8"
_ID = re.compile(r"[!-~]{1,200}")
_MOST_PAGES = 10
_PROGRESS = {
    "DONE": Progress.DONE,
    "FATAL": Progress.ABORTED,
    "CANCELLED": Progress.NEVER_STARTED,
}


class FeedsClient:
    """The Feeds API of one account. Errors are those of AmazonClient."""

    def __init__(self, client: AmazonClient) -> None:
        self.client = client

    def upload(self, content: bytes) -> str:
        """Leave a document with Amazon. Returns its id. Nothing is done with it yet; repeated, it leaves another."""
        request = self.client.request("POST", _DOCUMENTS, json={"contentType": _CONTENT_TYPE})
        answer = self.client.call(_CREATE_DOCUMENT, request)
        document_id = self._id(_CREATE_DOCUMENT, answer, "feedDocumentId")
        url = self._url(_CREATE_DOCUMENT, answer)
        headers = {"Content-Type": _CONTENT_TYPE}
        self.client.documents.exchange(
            "uploadFeedDocument",
            lambda store: store.build_request("PUT", url, content=content, headers=headers),
            url,
        )
        return document_id

    def create_feed(self, feed_type: str, marketplace_id: str, document_id: str) -> str:
        """Have Amazon carry out an uploaded document. Returns the feed's id.

        Nothing keeps Amazon from carrying out the same document twice: after an OutcomeUnknownError, look for the feed.
        """
        body = {"feedType": feed_type, "marketplaceIds": [marketplace_id], "inputFeedDocumentId": document_id}
        answer = self.client.call(_CREATE_FEED, self.client.request("POST", _FEEDS, json=body), is_write=True)
        try:
            return self._id(_CREATE_FEED, answer, "feedId")
        except UnavailableError as error:
            raise OutcomeUnknownError(str(error)) from None

    def feeds_since(self, feed_type: str, marketplace_id: str, since: datetime) -> list[str]:
        """The ids of the feeds of this type that were created since then (Amazon's clock), oldest first."""
        found: list[tuple[datetime, str]] = []
        query: dict[str, Any] = {
            "feedTypes": feed_type,
            "marketplaceIds": marketplace_id,
            "createdSince": amazon_time(since),
            "pageSize": 100,
        }
        for _ in range(_MOST_PAGES):
            answer = self.client.call(_GET_FEEDS, self.client.request("GET", _FEEDS, params=query))
            document = answer.document
            try:
                for feed in document["feeds"]:
                    if feed["feedType"] == feed_type:
                        found.append((parse_moment(feed["createdTime"]), _text(feed["feedId"])))
                next_token = document.get("nextToken")
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self.client.no_data(_GET_FEEDS, answer, "a list of feeds") from None
            if not next_token:
                return [feed_id for created_at, feed_id in sorted(found) if created_at >= since]
            query = {"nextToken": next_token}  # alone: it stands for the whole query
        raise self.client.no_data(_GET_FEEDS, answer, "the end of the list of feeds")

    def feed(self, feed_id: str) -> BatchState:
        """How far Amazon is with a feed. A status that we do not know counts as waiting."""
        answer = self.client.call(_GET_FEED, self.client.request("GET", f"{_FEEDS}/{quote(feed_id, safe='')}"))
        try:
            status = _text(answer.document["processingStatus"])
            report_id = answer.document.get("resultFeedDocumentId")
            if report_id is not None:
                report_id = _text(report_id)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self.client.no_data(_GET_FEED, answer, "a feed") from None
        return BatchState(status, _PROGRESS.get(status, Progress.WAITING), report_id)

    def download(self, document_id: str) -> bytes:
        """The content of a document, decompressed."""
        path = f"{_DOCUMENTS}/{quote(document_id, safe='')}"
        answer = self.client.call(_GET_DOCUMENT, self.client.request("GET", path))
        url = self._url(_GET_DOCUMENT, answer)
        content: bytes = self.client.documents.exchange(
            "downloadFeedDocument", lambda store: store.build_request("GET", url), url
        ).document
        if answer.document.get("compressionAlgorithm") is None:
            return content
        return _decompressed(content)

    def _id(self, plan: Plan, answer: Answer, name: str) -> str:
        try:
            return _text(answer.document[name])
        except (KeyError, TypeError, ValueError):
            raise self.client.no_data(plan, answer, f"a readable {name}") from None

    def _url(self, plan: Plan, answer: Answer) -> str:
        url = answer.document.get("url") if isinstance(answer.document, dict) else None
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise self.client.no_data(plan, answer, "an address")
        return url


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("not an id")
    return value


def _decompressed(content: bytes) -> bytes:
    inflate = zlib.decompressobj(31)
    try:
        plain = inflate.decompress(content, LARGEST_ANSWER)
    except zlib.error:
        plain = b""
    if not inflate.eof:
        raise UnavailableError(
            "amazon downloadFeedDocument: the report cannot be decompressed. Resolution: it is tried again."
        )
    return plain
