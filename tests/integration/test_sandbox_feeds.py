"""The local Amazon's feeds: answers as in Amazon's model, the life cycle, and the addresses of documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import jsonschema
import pytest

from include.adapters.amazon.cancellations import acknowledgement_feed
from include.domain.cancellations import Cancellation
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import client_of
from tests.support.models import MODELS, needs_models
from tests.support.road import Road

FEEDS, DOCUMENTS, US = "/feeds/2021-06-30/feeds", "/feeds/2021-06-30/documents", "ATVPDKIKX0DER"
TYPE, XML = "POST_ORDER_ACKNOWLEDGEMENT_DATA", "text/xml; charset=UTF-8"


@pytest.fixture
def sandbox(road: Road) -> Sandbox:
    return road.sandbox


@pytest.fixture
def client(road: Road) -> Iterator[httpx.Client]:
    application = next(one for one in road.scenario.applications if US in one.marketplace_ids)
    with client_of(road.sandbox, application) as client:
        yield client


def fits(name: str, answer: httpx.Response) -> Any:
    """The answer's document, held against Amazon's model."""
    document = answer.json()
    model = json.loads((MODELS / "amazon" / "feeds_2021-06-30.json").read_text())
    jsonschema.validate(document, {"$ref": f"#/definitions/{name}", "definitions": model["definitions"]})
    return document


def submit(client: httpx.Client, content: bytes) -> str:
    """The id of a feed with this document."""
    document = fits("CreateFeedDocumentResponse", client.post(DOCUMENTS, json={"contentType": XML}))
    assert httpx.put(document["url"], content=content, headers={"Content-Type": XML}).status_code == 200
    body = {"feedType": TYPE, "marketplaceIds": [US], "inputFeedDocumentId": document["feedDocumentId"]}
    answer = client.post(FEEDS, json=body)
    assert answer.status_code == 202
    feed_id: str = fits("CreateFeedResponse", answer)["feedId"]
    return feed_id


def status(client: httpx.Client, feed_id: str) -> str:
    found: str = fits("Feed", client.get(f"{FEEDS}/{feed_id}"))["processingStatus"]
    return found


@needs_models
def test_feed_passes_through_its_states_when_time_passes(client: httpx.Client, sandbox: Sandbox) -> None:
    feed = acknowledgement_feed("A1EXAMPLESELLER", [Cancellation(1, "902-0000000-0000000", "NO_INVENTORY", ("1",))])
    feed_id = submit(client, feed)
    seen = [status(client, feed_id)]
    for seconds in (31, 60):
        sandbox.clock.advance(timedelta(seconds=seconds))
        seen.append(status(client, feed_id))
    assert seen == ["IN_QUEUE", "IN_PROGRESS", "DONE"]
    report_id = client.get(f"{FEEDS}/{feed_id}").json()["resultFeedDocumentId"]
    document = fits("FeedDocument", client.get(f"{DOCUMENTS}/{report_id}"))
    report = httpx.get(document["url"]).text
    assert "<MessagesWithError>1</MessagesWithError>" in report
    assert "does not exist for this merchant" in report
    sandbox.clock.advance(timedelta(minutes=6))
    assert httpx.get(document["url"]).status_code == 403, "an address lives five minutes"


@needs_models
@pytest.mark.parametrize("content", [b"no xml", b"<AmazonEnvelope/>", acknowledgement_feed("SOMEBODY", [])])
def test_feed_ends_as_fatal_when_its_document_is_no_feed_of_the_seller(
    client: httpx.Client, sandbox: Sandbox, content: bytes
) -> None:
    feed_id = submit(client, content)
    sandbox.clock.advance(timedelta(minutes=2))
    assert status(client, feed_id) == "FATAL"


@needs_models
def test_every_feed_is_listed_once_when_the_list_has_pages(client: httpx.Client) -> None:
    created = [submit(client, b"x") for _ in range(5)]
    query: dict[str, str] = {"feedTypes": TYPE, "pageSize": "2"}
    listed: list[str] = []
    while query:
        page = fits("GetFeedsResponse", client.get(FEEDS, params=query))
        listed += [feed["feedId"] for feed in page["feeds"]]
        query = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert listed == created[::-1]


@pytest.mark.parametrize(
    "change",
    [
        {"feedType": "POST_PRODUCT_DATA"},
        {"marketplaceIds": []},
        {"marketplaceIds": ["X"]},
        {"inputFeedDocumentId": "X"},
    ],
)
def test_feed_is_refused_when_its_body_is_wrong(client: httpx.Client, change: dict[str, Any]) -> None:
    document = client.post(DOCUMENTS, json={"contentType": XML}).json()
    httpx.put(document["url"], content=b"x", headers={"Content-Type": XML})
    body = {"feedType": TYPE, "marketplaceIds": [US], "inputFeedDocumentId": document["feedDocumentId"]}
    assert client.post(FEEDS, json=body | change).status_code == 400


def test_upload_is_refused_when_the_content_type_is_another(client: httpx.Client) -> None:
    document = client.post(DOCUMENTS, json={"contentType": XML}).json()
    assert httpx.put(document["url"], content=b"x", headers={"Content-Type": "text/plain"}).status_code == 403
    assert httpx.put(document["url"].rpartition("=")[0] + "=x", content=b"x").status_code == 403
