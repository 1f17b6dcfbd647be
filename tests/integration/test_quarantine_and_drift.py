"""Quarantined orders come back by themselves, and what is new in Amazon's orders is counted, without personal data."""

from __future__ import annotations

import copy
import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.adapters.amazon.split import split_order
from include.outbox import quarantine
from local.sandbox.faults import Fault
from tests.support.orders import MARKERS, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

BAD, GOOD = order_id(1), order_id(2)
TRAY = "TRAY-WALNUT"


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    road.stage_stores()
    return road


def items(road: Road, order: str, **changes: Any) -> list[dict[str, Any]]:
    """The order's lines with changed fields."""
    lines = copy.deepcopy(road.sandbox.amazon.order(order)["orderItems"])
    return [line | changes for line in lines]


def correct_silently(road: Road, order: str, **changes: Any) -> None:
    """Amazon renders the order in another way from now on; its lastUpdatedTime stays."""
    road.sandbox.amazon._records[order].versions[-1].update(changes)


def quarantined(road: Road) -> Any:
    (row,) = road.rows("select * from ops.quarantined_orders")
    return row


def reads(road: Road) -> int:
    return road.sandbox.amazon_faults.calls["getOrder"]


def a_bad_order(road: Road) -> None:
    road.buy(BAD, {TRAY: 1})
    correct_silently(road, BAD, orderItems=items(road, BAD, quantityOrdered="one"))
    road.next_run()
    assert quarantined(road).released_at is None


def test_order_is_created_when_amazon_corrects_it_without_a_new_version(road: Road) -> None:
    a_bad_order(road)
    road.pass_time(minutes=40)
    road.next_run()
    correct_silently(road, BAD, orderItems=items(road, BAD, quantityOrdered=1))
    road.pass_time(minutes=40)  # out of the reach of the listing
    road.next_run()
    assert quarantined(road).released_at is not None
    assert len(road.sandbox.commerce.order_by_ext_id(BAD)) == 1
    assert reads(road) == 1


def test_quarantined_order_is_read_at_growing_distance_when_it_stays_bad(road: Road) -> None:
    a_bad_order(road)
    moments = []
    for hour in range(1, 41):
        before = reads(road)
        road.pass_time(minutes=51)
        road.next_run()
        moments += [hour] * (reads(road) - before)
    assert moments[:3] == [1, 3, 7], "an hour, two and four after each other"
    assert len(moments) <= 6
    assert quarantined(road).read_count == len(moments)
    assert road.rows("select read_count from reporting.quarantined_orders")[0].read_count == len(moments)


def test_quarantined_order_is_read_at_once_when_the_contract_has_changed(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_bad_order(road)
    road.next_run()
    assert reads(road) == 0, "too early"
    monkeypatch.setattr(quarantine, "contract_sha256", lambda: "another contract")
    road.next_run()
    road.next_run()
    assert reads(road) == 1, "once for this contract"


def test_live_orders_go_on_when_quarantined_ones_cannot_be_read_again(road: Road) -> None:
    a_bad_order(road)
    road.sandbox.amazon_faults.add(Fault("getOrder", "html_500", times=1))
    road.pass_time(hours=2)
    road.buy(GOOD, {TRAY: 1})
    road.next_run()
    assert len(road.sandbox.commerce.order_by_ext_id(GOOD)) == 1
    assert quarantined(road).read_count == 0
    road.next_run()
    assert quarantined(road).read_count == 1, "Amazon answers again"


def test_order_is_read_when_amazon_writes_whole_numbers_with_a_point(road: Road) -> None:
    document = amazon_order(GOOD, {TRAY: 2})
    landed = split_order(document)
    document["orderItems"][0]["quantityOrdered"] = Decimal("2.0")
    document["orderItems"][0]["fulfillment"]["quantityUnfulfilled"] = Decimal("2.00")
    assert split_order(document) == landed

    road.buy(GOOD, {TRAY: 2})
    correct_silently(road, GOOD, orderItems=items(road, GOOD, quantityOrdered=2.0))
    road.next_run()
    assert road.value("select ordered_qty from core.orders") == 2
    assert road.rows("select * from ops.quarantined_orders") == []


@pytest.mark.parametrize("number", [1.5, 1e30, "1.0", True])
def test_order_is_quarantined_when_a_quantity_is_no_whole_number(road: Road, number: Any) -> None:
    road.buy(BAD, {TRAY: 1})
    correct_silently(road, BAD, orderItems=items(road, BAD, quantityOrdered=number))
    road.next_run()
    assert quarantined(road).findings[0].startswith("orderItems[0].quantityOrdered: ")


def drift(road: Road) -> dict[tuple[str, str, str], int]:
    rows = road.rows("select * from reporting.schema_drift")
    return {(row.path, row.kind, row.code): row.order_count for row in rows}


def test_unknown_fields_and_codes_are_counted_when_orders_have_them(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    for order in (BAD, GOOD):
        road.buy(order, {TRAY: 1})
        fulfillment = road.sandbox.amazon.order(order)["fulfillment"] | {"fulfillmentStatus": "TELEPORTED"}
        correct_silently(road, order, fulfillment=fulfillment, giftOfAmazon={"note": MARKERS["giftMessage"]})
    caplog.set_level(logging.WARNING)
    road.next_run()
    wanted = {("giftOfAmazon", "field", ""): 2, ("fulfillment.fulfillmentStatus", "value", "TELEPORTED"): 2}
    assert drift(road) == wanted
    assert caplog.text.count("Amazon sends a field that our contract does not know: giftOfAmazon") == 1
    assert "fulfillment.fulfillmentStatus (TELEPORTED), first in order" in caplog.text
    road.next_run()
    assert drift(road) == wanted, "the same versions, listed again"
    road.sandbox.amazon.apply(GOOD, {"programs": ["PRIME"]})
    road.next_run()
    assert drift(road)[("giftOfAmazon", "field", "")] == 3
    (row,) = road.rows("select * from ops.schema_drift where kind = 'field'")
    assert row.example_order_id == GOOD and row.last_seen_at - row.first_seen_at > timedelta(minutes=9)
    stored = repr(road.dump()["ops.schema_drift"])
    assert "Kwz" not in stored and "Kwz" not in caplog.text


def test_breach_is_counted_once_when_a_document_is_listed_again(road: Road) -> None:
    a_bad_order(road)
    road.next_run()
    assert drift(road) == {("orderItems[].quantityOrdered", "breach", "type"): 1}
