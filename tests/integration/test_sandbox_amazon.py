"""The local Amazon keeps the rules of tokens, rates, searchOrders and getOrder, also for odd requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from local.sandbox.amazon.search import INCLUDED_DATA
from local.sandbox.scenario import EUROPE, FAR_EAST, NORTH_AMERICA, build
from local.sandbox.scenario.orders import DE, UK, US, order_id
from local.sandbox.seeds import AmazonOrderSeed, Scenario
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import LAG, SEARCH, SINCE, client_of, read, token_request


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(build, enforce_rate_limits=False) as running:
        yield running


@pytest.fixture(scope="module")
def unchanging() -> Iterator[Sandbox]:
    """A sandbox for tests that only read."""
    with Sandbox(build, enforce_rate_limits=False) as running:
        yield running


@pytest.fixture
def european_reader(unchanging: Sandbox) -> Iterator[httpx.Client]:
    with client_of(unchanging, EUROPE) as client:
        yield client


@pytest.fixture
def american_reader(unchanging: Sandbox) -> Iterator[httpx.Client]:
    with client_of(unchanging, NORTH_AMERICA) as client:
        yield client


@pytest.fixture
def europe(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox, EUROPE) as client:
        yield client


@pytest.fixture
def america(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox, NORTH_AMERICA) as client:
        yield client


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"refresh_token": FAR_EAST.refresh_token}, 400, "invalid_grant"),
        ({"client_id": "amzn1.unknown"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
    ],
)
def test_token_is_refused_when_its_request_is_wrong(
    unchanging: Sandbox, changes: dict[str, str], status: int, error: str
) -> None:
    answer = httpx.post(f"{unchanging.amazon_url}/auth/o2/token", data=token_request(EUROPE, **changes))
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]


def test_token_is_refused_when_its_request_is_not_form_encoded(unchanging: Sandbox) -> None:
    answer = httpx.post(f"{unchanging.amazon_url}/auth/o2/token", json=token_request(EUROPE))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_token_is_refused_when_its_hour_is_over(sandbox: Sandbox) -> None:
    granted = httpx.post(f"{sandbox.amazon_url}/auth/o2/token", data=token_request(EUROPE)).json()
    assert granted["expires_in"] == 3600
    assert granted["token_type"] == "bearer"
    url, headers = f"{sandbox.amazon_url}{SEARCH}?{SINCE}", {"x-amz-access-token": granted["access_token"]}
    sandbox.clock.advance(timedelta(minutes=59))
    assert httpx.get(url, headers=headers).status_code == 200
    sandbox.clock.advance(timedelta(minutes=1))
    refused = httpx.get(url, headers=headers)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["code"] == "Unauthorized"
    assert "x-amzn-ratelimit-limit" not in refused.headers
    for wrong in ({}, {"x-amz-access-token": "Atza|guessed"}):
        assert httpx.get(url, headers=wrong).status_code == 403


def test_headers_have_the_sandboxs_time_when_the_clock_was_moved(sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(days=3))
    with client_of(sandbox, EUROPE) as client:
        answers = [client.get(f"{SEARCH}?{SINCE}"), client.get(f"{SEARCH}?{SINCE}&createdAfter=2020-01-01")]
        answers.append(client.get(f"{SEARCH}/000-0000000-0000000"))
    assert [answer.status_code for answer in answers] == [200, 400, 404]
    for answer in answers:
        assert abs(parsedate_to_datetime(answer.headers["date"]) - sandbox.clock.now()) < timedelta(minutes=1)
        assert answer.headers.get_list("date", split_commas=False) == [answer.headers["date"]]
    assert len({answer.headers["x-amzn-requestid"] for answer in answers}) == 3
    assert [answer.headers["x-amzn-ratelimit-limit"] for answer in answers] == ["0.0056", "0.0056", "0.5"]


def test_search_is_throttled_when_the_burst_is_spent() -> None:
    with Sandbox(build) as sandbox, client_of(sandbox, EUROPE) as client, client_of(sandbox, FAR_EAST) as other:
        statuses = [client.get(f"{SEARCH}?{SINCE}").status_code for _ in range(20)]
        refused = client.get(f"{SEARCH}?{SINCE}")
        assert statuses == [200] * 20
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "QuotaExceeded")
        assert "x-amzn-ratelimit-limit" not in refused.headers
        assert other.get(f"{SEARCH}?{SINCE}").status_code == 200
        assert client.get(f"{SEARCH}/{order_id('de-discounted')}").status_code == 200
        sandbox.clock.advance(timedelta(seconds=179))
        assert [client.get(f"{SEARCH}?{SINCE}").status_code for _ in range(2)] == [200, 429]


def _minutes_ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "marketplaceIds=A1PA6795UKMFR9",
        f"{SINCE}&createdAfter=2020-01-01T00:00:00Z",
        f"{SINCE}&createdBefore=2021-01-01T00:00:00Z",
        "lastUpdatedBefore=2021-01-01T00:00:00Z",
        f"{SINCE}&lastUpdatedBefore=2019-01-01T00:00:00Z",
        "createdAfter=01%2F02%2F2026",
        "createdAfter=TEST_CASE_400",
        "createdAfter=2026-01-01T00:00:00+02:00",  # a plus sign that nobody encoded is a space
        f"{SINCE}&lastUpdatedBefore=ONE_MINUTE_AGO",
        "lastUpdatedAfter=ONE_MINUTE_AGO",
        f"{SINCE}&fulfillmentStatuses=UNSHIPPED,Shipped",
        f"{SINCE}&fulfillmentStatuses=",
        f"{SINCE}&fulfilledBy=MFN",
        f"{SINCE}&includedData=BUYER,MONEY",
        f"{SINCE}&maxResultsPerPage=0",
        f"{SINCE}&maxResultsPerPage=101",
        f"{SINCE}&maxResultsPerPage=ten",
        f"{SINCE}&marketplaceIds={','.join(['A1PA6795UKMFR9'] + [f'A{n}' for n in range(50)])}",
        f"{SINCE}&paginationToken=guessed",
        f"{SINCE}&MarketplaceIds=A1PA6795UKMFR9",
        f"{SINCE}&fulfilledBy=AMAZON&fulfilledBy=MERCHANT",
    ],
)
def test_search_is_refused_when_a_parameter_rule_is_broken(european_reader: httpx.Client, query: str) -> None:
    # When the test runs, not when pytest collects it: that can be many minutes before.
    answer = european_reader.get(f"{SEARCH}?{query.replace('ONE_MINUTE_AGO', _minutes_ago(1))}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "InvalidInput"


@pytest.mark.parametrize(
    "query",
    [
        "createdAfter=2026-01-01",
        "createdAfter=2026-01-01T00:00:00%2B02:00",
        f"{SINCE}&lastUpdatedBefore=THREE_MINUTES_AGO",
        f"{SINCE}&marketplaceIds={DE.marketplace_id},{UK.marketplace_id}&fulfilledBy=AMAZON,MERCHANT",
        f"{SINCE}&maxResultsPerPage=1",
    ],
)
def test_search_is_answered_when_the_parameter_rules_are_kept(european_reader: httpx.Client, query: str) -> None:
    answer = european_reader.get(f"{SEARCH}?{query.replace('THREE_MINUTES_AGO', _minutes_ago(3))}")
    assert answer.status_code == 200
    assert answer.json()["orders"]


def test_search_is_refused_when_a_marketplace_is_not_the_sellers(european_reader: httpx.Client) -> None:
    answer = european_reader.get(f"{SEARCH}?{SINCE}&marketplaceIds={DE.marketplace_id},{US.marketplace_id}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "Unauthorized")


def test_search_finds_only_matching_orders_when_filtered(american_reader: httpx.Client) -> None:
    query = f"{SINCE}&fulfilledBy=AMAZON&fulfillmentStatuses=SHIPPED,UNFULFILLABLE&marketplaceIds={US.marketplace_id}"
    found = american_reader.get(f"{SEARCH}?{query}").json()["orders"]
    assert {order["orderId"] for order in found} == {order_id("us-fba-shipped"), order_id("us-unfulfillable")}


def test_search_echoes_the_bound_it_used_when_answered(sandbox: Sandbox, europe: httpx.Client) -> None:
    given = europe.get(f"{SEARCH}?{SINCE}&lastUpdatedBefore=2026-01-01T00:00:00Z").json()
    assert given["lastUpdatedBefore"] == "2026-01-01T00:00:00.000Z"
    used = europe.get(f"{SEARCH}?createdAfter=2020-01-01").json()
    distance = sandbox.clock.now() - datetime.fromisoformat(used["createdBefore"])
    assert timedelta(minutes=2) <= distance < timedelta(minutes=3)
    assert "lastUpdatedBefore" not in used
    assert "pagination" not in used


def test_page_is_refused_when_parameters_change_or_the_token_ages(sandbox: Sandbox, europe: httpx.Client) -> None:
    first = f"{SINCE}&marketplaceIds={DE.marketplace_id},{UK.marketplace_id}"
    token = europe.get(f"{SEARCH}?{first}&maxResultsPerPage=2").json()["pagination"]["nextToken"]
    assert set("/+=") <= set(token)
    next_page = f"paginationToken={quote(token, safe='')}"

    def status(query: str) -> int:
        return europe.get(f"{SEARCH}?{query}").status_code

    assert status(f"{first}&{next_page}") == 200
    assert status(f"{first}&{next_page}&maxResultsPerPage=5&includedData=BUYER") == 200
    assert status(f"{first}&paginationToken={token}") == 400
    assert status(f"{SINCE}&{next_page}") == 400
    assert status(f"{first}&fulfilledBy=AMAZON,MERCHANT&{next_page}") == 400
    assert status(f"{SINCE}&marketplaceIds={UK.marketplace_id},{DE.marketplace_id}&{next_page}") == 400
    assert status(first.replace("00:00:00Z", "00:00:00.000Z") + f"&{next_page}") == 400
    assert status(first.replace(",", "%2C") + f"&{next_page}") == 400
    sandbox.clock.advance(timedelta(hours=24, minutes=1))
    with client_of(sandbox, EUROPE) as client:
        aged = client.get(f"{SEARCH}?{first}&{next_page}")
    assert aged.status_code == 400
    assert "expired" in aged.json()["errors"][0]["message"]


def test_order_is_listed_by_the_next_search_when_it_changes_between_two_pages(
    sandbox: Sandbox, europe: httpx.Client
) -> None:
    page = europe.get(f"{SEARCH}?{SINCE}&maxResultsPerPage=5").json()
    seen = [order["orderId"] for order in page["orders"]]
    changed = max(sandbox.amazon.listed(EUROPE.seller_id), key=lambda order: order["lastUpdatedTime"])["orderId"]
    sandbox.amazon.apply(changed, {"programs": ["PREMIUM"]})
    sandbox.clock.advance(LAG)
    while "pagination" in page:
        token = quote(page["pagination"]["nextToken"], safe="")
        page = europe.get(f"{SEARCH}?{SINCE}&maxResultsPerPage=5&paginationToken={token}").json()
        seen += [order["orderId"] for order in page["orders"]]
    later = europe.get(f"{SEARCH}?lastUpdatedAfter={page['lastUpdatedBefore']}").json()["orders"]
    assert len(seen) == len(set(seen))
    assert changed not in seen
    assert [order["orderId"] for order in later] == [changed]


def test_order_has_only_its_basic_fields_when_no_data_is_asked_for(european_reader: httpx.Client) -> None:
    order = read(european_reader, "de-discounted", included="FULFILLMENT")
    bare = european_reader.get(f"{SEARCH}/{order_id('de-discounted')}").json()["order"]
    assert set(order) - set(bare) == {"fulfillment"}
    assert set(bare) == {
        "orderId",
        "createdTime",
        "lastUpdatedTime",
        "programs",
        "associatedOrders",
        "salesChannel",
        "orderItems",
    }
    assert set(bare["orderItems"][0]) == {"orderItemId", "quantityOrdered", "product"}
    assert set(order["orderItems"][0]) == {"orderItemId", "quantityOrdered", "product", "fulfillment"}
    refused = european_reader.get(f"{SEARCH}/{order_id('de-discounted')}?includedData=ALL")
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("included", "slug", "part"),
    [
        ("BUYER", "us-gift", "buyer"),
        ("RECIPIENT", "us-gift", "recipient"),
        ("PROCEEDS", "us-gift", "proceeds"),
        ("PACKAGES", "us-partially-shipped", "packages"),
    ],
)
def test_part_of_an_order_is_included_when_it_is_asked_for(
    american_reader: httpx.Client, included: str, slug: str, part: str
) -> None:
    assert part in read(american_reader, slug, included)
    assert part not in read(american_reader, slug, ",".join(INCLUDED_DATA - {included}))


@pytest.mark.parametrize(
    ("included", "slug", "part"),
    [
        ("PROCEEDS", "us-gift", "proceeds"),
        ("TAX", "us-gift", "tax"),
        ("CANCELLATION", "us-buyer-asks-to-cancel", "cancellation"),
    ],
)
def test_part_of_an_item_is_included_when_it_is_asked_for(
    american_reader: httpx.Client, included: str, slug: str, part: str
) -> None:
    assert part in read(american_reader, slug, included)["orderItems"][0]
    assert part not in read(american_reader, slug, ",".join(INCLUDED_DATA - {included}))["orderItems"][0]


def test_personal_data_is_withheld_when_status_or_channel_forbids_it(sandbox: Sandbox, america: httpx.Client) -> None:
    assert "buyerEmail" in read(america, "us-gift")["buyer"]
    for slug in ("us-pending", "us-canceled"):
        assert "buyerEmail" not in read(america, slug)["buyer"]
    assert "recipient" not in read(america, "us-pending")
    amazon_fulfilled = read(america, "us-fba-shipped")
    assert "recipient" not in amazon_fulfilled
    assert set(amazon_fulfilled["buyer"]) == {"buyerName"}
    assert "phone" in read(america, "us-shipped-elsewhere")["recipient"]["deliveryAddress"]
    sandbox.clock.advance(timedelta(days=10))
    with client_of(sandbox, NORTH_AMERICA) as client:
        late = read(client, "us-shipped-elsewhere")
    assert set(late["recipient"]["deliveryAddress"]) >= {"name", "addressLine1"}
    assert "phone" not in late["recipient"]["deliveryAddress"]


def test_personal_data_is_withheld_when_the_application_lacks_the_role() -> None:
    def without_role(started_at: datetime) -> Scenario:
        scenario = build(started_at)
        return replace(scenario, applications=(replace(NORTH_AMERICA, has_pii_role=False),))

    with Sandbox(without_role) as sandbox, client_of(sandbox, NORTH_AMERICA) as client:
        gift, business = read(client, "us-gift"), read(client, "us-business")
    assert "buyer" not in gift
    assert set(gift["recipient"]["deliveryAddress"]) == {"city", "stateOrRegion", "countryCode", "addressType"}
    assert gift["orderItems"][0]["fulfillment"]["packing"]["giftOption"] == {"giftWrapLevel": "Classic"}
    assert set(business["buyer"]) == {"buyerCompanyName", "buyerPurchaseOrderNumber"}


def test_order_is_not_found_when_unknown_or_another_sellers(european_reader: httpx.Client) -> None:
    for other in ("999-0000000-0000000", order_id("us-gift")):
        answer = european_reader.get(f"{SEARCH}/{other}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NotFound")


def test_reads_lag_behind_when_an_order_is_new_or_changed(sandbox: Sandbox, europe: httpx.Client) -> None:
    def listed() -> dict[str, dict[str, Any]]:
        orders = europe.get(f"{SEARCH}?{SINCE}").json()["orders"]
        return {order["orderId"]: order for order in orders}

    seed = next(seed for seed in build(sandbox.clock.now()).orders if seed.seller_id == EUROPE.seller_id)
    now = sandbox.clock.now().isoformat()
    new = seed.order | {"orderId": "305-0000000-0000001", "createdTime": now, "lastUpdatedTime": now}
    sandbox.amazon.add_order(AmazonOrderSeed(EUROPE.seller_id, new))
    sandbox.amazon.apply(order_id("de-discounted"), {"programs": ["PREMIUM"]})
    sandbox.amazon.hide_from_listing(order_id("uk-mapped-sku"))

    assert "305-0000000-0000001" not in listed()
    assert europe.get(f"{SEARCH}/305-0000000-0000001").status_code == 404
    assert listed()[order_id("de-discounted")]["programs"] == []
    assert sandbox.amazon.order(order_id("de-discounted"))["programs"] == ["PREMIUM"]
    sandbox.clock.advance(LAG)
    assert "305-0000000-0000001" in listed()
    assert listed()[order_id("de-discounted")]["programs"] == ["PREMIUM"]
    assert order_id("uk-mapped-sku") not in listed()
    assert read(europe, "uk-mapped-sku")["orderId"] == order_id("uk-mapped-sku")


def test_pending_order_becomes_unshipped_when_it_is_paid(sandbox: Sandbox, america: httpx.Client) -> None:
    pending = read(america, "us-pending-then-paid")
    assert pending["fulfillment"]["fulfillmentStatus"] == "PENDING"
    assert "proceeds" not in pending
    assert "price" not in pending["orderItems"][0]["product"]
    sandbox.clock.advance(timedelta(minutes=15) + LAG)
    paid = read(america, "us-pending-then-paid")
    assert paid["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
    assert paid["proceeds"]["grandTotal"]["currencyCode"] == "USD"
    assert paid["orderItems"][0]["product"]["title"] == pending["orderItems"][0]["product"]["title"]
    changed_at = datetime.fromisoformat(paid["lastUpdatedTime"])
    assert abs(changed_at - sandbox.started_at - timedelta(minutes=15)) < timedelta(milliseconds=1)
