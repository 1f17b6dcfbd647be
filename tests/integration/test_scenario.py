"""The scenario looks like life: complete, reconciling, true to Amazon's model, and with all that the demo shows."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from include.adapters.stores_file import load_stores
from local.sandbox.amazon.search import STATUSES
from local.sandbox.amazon.state import AmazonState
from local.sandbox.clock import SandboxClock
from local.sandbox.faults import Fault
from local.sandbox.scenario import EUROPE, build
from local.sandbox.scenario.catalog import (
    AWKWARD_SKU,
    DISABLED_SKU,
    EU_STOCK,
    LATE_SKU,
    SCARCE_SKU,
    UNKNOWN_SKU,
    US_STOCK,
)
from local.sandbox.scenario.north_america import ODD_ORDER
from local.sandbox.scenario.orders import CA, DE, JP, UK, US, item_id, order_id
from local.sandbox.seeds import AmazonApplication, Scenario
from local.sandbox.servers import Sandbox
from tests.support.amazon_calls import ALL_DATA, SEARCH, SINCE, client_of, confirm, shipment
from tests.support.models import MODELS, needs_models

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STORY = [timedelta(), timedelta(minutes=13), timedelta(minutes=5), timedelta(minutes=6), timedelta(minutes=6)]


def validator(file_name: str, definition: str) -> Any:
    """A validator of one definition of a Swagger 2 model. Stricter than the model: unknown fields are refused."""
    definitions = json.loads((MODELS / "amazon" / file_name).read_text(encoding="utf-8"))["definitions"]
    for schema in definitions.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return jsonschema.Draft4Validator({"$ref": f"#/definitions/{definition}", "definitions": definitions})


def search_all(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """Every page of everything, six orders a page."""
    token = ""
    while True:
        page = client.get(f"{SEARCH}?{SINCE}&includedData={ALL_DATA}&maxResultsPerPage=6{token}").json()
        yield page
        if "pagination" not in page:
            return
        token = f"&paginationToken={quote(page['pagination']['nextToken'], safe='')}"


def strings(value: Any) -> Iterator[tuple[str, str]]:
    """All texts of a document with the names of their fields."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ((name, part),) if isinstance(part, str) else strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


@needs_models
def test_answers_fit_amazons_model_when_the_whole_story_is_played() -> None:
    search = validator("orders_2026-01-01.json", "SearchOrdersResponse")
    one = validator("orders_2026-01-01.json", "GetOrderResponse")
    odd = order_id(ODD_ORDER)
    checked, failing = 0, set()
    with Sandbox(build, enforce_rate_limits=False) as sandbox:
        for step in STORY:
            sandbox.clock.advance(step)
            for application in build(sandbox.started_at).applications:
                with client_of(sandbox, application) as client:
                    for page in search_all(client):
                        for order in page["orders"]:
                            answer = {"order": order}
                            if not one.is_valid(answer):
                                failing.add(order["orderId"])
                            times = [text for name, text in strings(order) if name.endswith(("Time", "DateTime"))]
                            assert times
                            assert all(TIME.fullmatch(text) for text in times)
                            read = client.get(f"{SEARCH}/{order['orderId']}", params={"includedData": ALL_DATA})
                            assert read.json() == answer
                            checked += 1
                        page["orders"] = [order for order in page["orders"] if order["orderId"] != odd]
                        search.validate(page)
    assert checked > len(STORY) * 40
    assert failing == {odd}


@needs_models
def test_refusals_fit_amazons_models_when_validated() -> None:
    errors = validator("orders_2026-01-01.json", "ErrorList")
    shipment_errors = validator("ordersV0.json", "ConfirmShipmentErrorResponse")
    with Sandbox(build) as sandbox, client_of(sandbox, EUROPE) as client:
        sandbox.amazon_faults.add(Fault("getOrder", "throttle", skip=1))
        sandbox.amazon_faults.add(Fault("getOrder", "expired_token"))
        refused = [client.get(f"{SEARCH}?createdAfter=TEST_CASE_400"), client.get(f"{SEARCH}/000-0000000-0000000")]
        refused += [client.get(f"{SEARCH}/{order_id('de-discounted')}") for _ in range(2)]
        refused.append(httpx.get(f"{sandbox.amazon_url}{SEARCH}?{SINCE}"))
        not_shipped = confirm(client, "de-discounted", shipment("de-discounted", UK.marketplace_id))
    assert [answer.status_code for answer in refused] == [400, 404, 429, 403, 403]
    for answer in refused:
        errors.validate(answer.json())
    assert not_shipped.status_code == 400
    shipment_errors.validate(not_shipped.json())


def state_after(minutes: int) -> AmazonState:
    """The scenario's Amazon, `minutes` after its start."""
    clock = SandboxClock()
    scenario = build(clock.now())
    state = AmazonState(scenario.applications, scenario.orders, clock)
    clock.advance(timedelta(minutes=minutes))
    return state


def statuses(state: AmazonState) -> set[str]:
    return {state.order(one)["fulfillment"]["fulfillmentStatus"] for one in state.order_ids()}


def test_scenario_is_the_same_when_built_twice() -> None:
    assert build(START) == build(START)
    ids = [seed.order["orderId"] for seed in build(START).orders]
    assert len(ids) == len(set(ids))
    assert 40 <= len(ids) <= 50
    assert all(re.fullmatch(r"\d{3}-\d{7}-\d{7}", one) for one in ids)


def test_statuses_change_as_planned_when_the_scenario_goes_on() -> None:
    first, later = state_after(0), state_after(30)
    assert statuses(first) >= STATUSES
    assert statuses(first) - STATUSES == {"INVOICE_UNCONFIRMED"}

    def change(slug: str) -> tuple[str, str]:
        before, after = (state.order(order_id(slug))["fulfillment"]["fulfillmentStatus"] for state in (first, later))
        return before, after

    assert change("us-pending-then-paid") == change("de-pending-then-paid") == ("PENDING", "UNSHIPPED")
    assert change("us-fba-then-shipped") == change("uk-fba-then-shipped") == ("UNSHIPPED", "SHIPPED")
    assert change("us-blocked-then-canceled") == ("UNSHIPPED", "CANCELLED")
    assert change("jp-never-paid") == ("PENDING", "CANCELLED")
    assert change("us-pending") == ("PENDING", "PENDING")
    now = first.clock.now()
    arrivals = [one for one in first.order_ids() if datetime.fromisoformat(first.order(one)["createdTime"]) > now]
    assert len(arrivals) == 4
    listed = [len(state.listed(US.seller_id)) for state in (first, later)]
    assert listed[1] == listed[0] + 2


def amount(money: dict[str, str]) -> Decimal:
    return Decimal(money["amount"])


@pytest.mark.parametrize("market", [US, CA, DE, UK, JP], ids=lambda market: market.name)
def test_money_reconciles_when_added_up(market: Any) -> None:
    state = state_after(30)
    documents = [state.order(one) for one in state.order_ids()]
    orders = [one for one in documents if one["salesChannel"]["marketplaceId"] == market.marketplace_id]
    reconciled = 0
    for order in (order for order in orders if "proceeds" in order):
        total = Decimal(0)
        for item in order["orderItems"]:
            parts = {part["type"]: amount(part["subtotal"]) for part in item["proceeds"]["breakdowns"]}
            if market.has_tax_in_prices:
                parts.pop("TAX", None)
            line_total = (
                sum(parts.values()) - parts.get("DISCOUNT", Decimal(0)) - abs(parts.get("DISCOUNT", Decimal(0)))
            )
            assert line_total == amount(item["proceeds"]["proceedsTotal"])
            for part in item["proceeds"]["breakdowns"]:
                if "detailedBreakdowns" in part:
                    assert sum(amount(one["value"]) for one in part["detailedBreakdowns"]) == amount(part["subtotal"])
            total += line_total
        assert total == amount(order["proceeds"]["grandTotal"])
        currencies = {text for name, text in strings(order) if name == "currencyCode"}
        assert currencies == {market.currency_code}
        decimals = {len(text.partition(".")[2]) for name, text in strings(order) if name == "amount"}
        assert decimals == {market.decimals}
        reconciled += 1
    assert reconciled >= 2


def test_special_orders_are_there_when_looked_for() -> None:
    state = state_after(0)

    def order(slug: str) -> dict[str, Any]:
        return state.order(order_id(slug))

    assert "proceeds" not in order("us-pending")
    assert "proceeds" in order("jp-never-paid")
    replacement = order("us-replacement")
    assert amount(replacement["proceeds"]["grandTotal"]) == 0
    assert replacement["associatedOrders"] == [
        {"orderId": order_id("us-shipped-elsewhere"), "associationType": "REPLACEMENT_ORIGINAL_ID"}
    ]
    uneven = order("us-uneven-price")["orderItems"][0]
    unit_price, line = amount(uneven["product"]["price"]["unitPrice"]), uneven["proceeds"]["breakdowns"][0]
    assert unit_price * uneven["quantityOrdered"] != amount(line["subtotal"])

    def parts(slug: str, line: int) -> dict[str, str]:
        breakdowns = order(slug)["orderItems"][line - 1]["proceeds"]["breakdowns"]
        return {part["type"]: part["subtotal"]["amount"] for part in breakdowns}

    assert parts("us-two-lines", 2) == {"ITEM": "32.00", "DISCOUNT": "3.20", "TAX": "2.38"}
    assert parts("de-discounted", 1) == {"ITEM": "48.00", "SHIPPING": "3.99", "DISCOUNT": "-4.80", "TAX": "7.53"}
    assert parts("jp-two-lines", 2) == {"ITEM": "10000", "DISCOUNT": "-500", "TAX": "864"}
    names = [order(slug)["buyer"]["buyerName"] for slug in ("jp-points", "uk-arabic-name", "de-discounted")]
    assert [not name.isascii() for name in names] == [True] * 3
    assert "'" in order("us-gift")["buyer"]["buyerName"]
    assert " " not in order("us-buyer-asks-to-cancel")["buyer"]["buyerName"]
    assert (
        order("us-buyer-asks-to-cancel")["orderItems"][0]["cancellation"]["cancellationRequest"]["requester"] == "BUYER"
    )
    assert order("us-gift")["orderItems"][0]["fulfillment"]["packing"]["giftOption"]["giftMessage"]
    assert order("us-business")["programs"] == ["AMAZON_BUSINESS"]
    assert order("us-prime")["programs"] == ["PRIME"]
    assert "neighborhoodPickup" in order(ODD_ORDER)
    partly = order("us-partially-shipped")
    assert [item["fulfillment"]["quantityUnfulfilled"] for item in partly["orderItems"]] == [0, 2]
    assert len(partly["packages"]) == 1
    bought_early = [state.order(one) for one in state.order_ids()]
    assert sum(one["createdTime"] < "2026-01-01" <= one["lastUpdatedTime"] for one in bought_early) == 2


def test_planned_blockers_arise_when_orders_meet_the_catalog() -> None:
    scenario = build(START)
    catalog = {product.sku: product for product in scenario.commerce.products}
    ordered: dict[str, set[str]] = {}
    for seed in scenario.orders:
        for item in seed.order["orderItems"]:
            ordered.setdefault(item["product"]["sellerSku"], set()).add(seed.order["orderId"])
    sku_map = {
        old: new.sku
        for store in load_stores(ROOT / "include" / "stores.yaml").all()
        for old, new in store.sku_map.items()
    }
    unknown = {sku for sku in ordered if sku_map.get(sku, sku) not in catalog}
    assert unknown == {UNKNOWN_SKU, LATE_SKU}
    assert set(sku_map) <= set(ordered)
    assert {sku for sku, product in catalog.items() if product.status == 2} == {DISABLED_SKU}
    assert ordered[DISABLED_SKU] == {order_id("us-disabled-product")}
    assert ordered[SCARCE_SKU] == {order_id("us-scarce-older"), order_id("us-scarce-newer")}
    assert catalog[SCARCE_SKU].quantities[US_STOCK] == 3
    assert catalog[AWKWARD_SKU].quantities[EU_STOCK] > 0
    assert set(" /,") <= set(AWKWARD_SKU)

    at = START + timedelta(minutes=20)
    changes = {change.sku: change for change in scenario.commerce.catalog_changes}
    assert {sku: change.at for sku, change in changes.items()} == {DISABLED_SKU: at, LATE_SKU: at}
    assert changes[DISABLED_SKU].status == 1
    assert changes[LATE_SKU].create is not None


def test_warehouse_ships_what_was_ordered_when_it_ships() -> None:
    scenario = build(START)
    orders = {seed.order["orderId"]: seed.order for seed in scenario.orders}
    actions = {action.amazon_order_id: action for action in scenario.commerce.warehouse}
    assert {action.at for action in actions.values()} == {START + timedelta(minutes=15)}
    for order, action in actions.items():
        assert orders[order]["fulfillment"]["fulfilledBy"] == "MERCHANT"
        assert orders[order]["fulfillment"]["fulfillmentStatus"] == "UNSHIPPED"
        units = sum(item["quantityOrdered"] for item in orders[order]["orderItems"])
        assert units >= len(action.tracks) >= 1
    partial = actions[order_id("us-two-lines")]
    assert partial.quantities == {item_id("us-two-lines", 1): Decimal(2)}
    assert len(orders[order_id("us-two-lines")]["orderItems"]) == 2
    assert len(actions[order_id("us-two-parcels")].tracks) == 2
    assert {track[0] for action in actions.values() for track in action.tracks} == {"ups", "fedex", "custom"}


def test_stores_file_fits_the_scenario_when_compared() -> None:
    scenario: Scenario = build(START)
    stores = load_stores(ROOT / "include" / "stores.yaml")
    views = {view.code: view for view in scenario.commerce.store_views}
    currencies = {market.marketplace_id: market.currency_code for market in (US, CA, DE, UK, JP)}
    applications: dict[tuple[str, str], AmazonApplication] = {
        (application.seller_id, application.region): application for application in scenario.applications
    }
    assert len(stores.all()) == 5
    for account in stores.accounts:
        sold_in = applications[account.seller_id, account.region].marketplace_ids
        assert tuple(store.marketplace_id for store in account.stores) == sold_in
    for store in stores.all():
        assert views[store.commerce_store_view].base_currency == currencies[store.marketplace_id]
    assert [store.name for store in stores.all() if not store.orders.is_import_enabled] == ["Acme Canada"]


def test_scenario_is_unchanged_when_a_sandbox_plays_it() -> None:
    scenario = build(START)
    before = copy.deepcopy(scenario)
    with Sandbox(scenario) as sandbox:
        sandbox.amazon.apply(order_id("us-gift"), {"programs": ["PREMIUM"], "buyer": {"buyerName": "Somebody Else"}})
        sandbox.clock.advance(timedelta(minutes=30))
        assert sandbox.amazon.order(order_id("us-gift"))["programs"] == ["PREMIUM"]
    assert scenario == before
