"""Amazon's listing lands whole, window by window: no order is lost, none is taken back, whatever happens between."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError, ThrottledError, UnavailableError
from local.sandbox.faults import Fault
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import SELLER_US, US, amazon_order, order_id, seed
from tests.support.road import Road

OVERLAP = timedelta(seconds=1800)
MARGIN = timedelta(seconds=180)


@pytest.fixture
def road(road: Road) -> Road:
    """One account, its stores known and without history, two orders a page."""
    road.with_account("acme-na")
    road.change_settings(orders_per_page=2, initial_lookback=timedelta())
    road.change_store("Acme US", import_since=None)
    road.stage_stores()
    return road


def buy(road: Road, *numbers: int) -> list[str]:
    """Orders that Amazon's listing shows from now on."""
    ids = [order_id(number) for number in numbers]
    for one in ids:
        road.buy(one)
    road.pass_time(minutes=10)
    return ids


def landed(road: Road) -> list[str]:
    rows = road.rows("select distinct amazon_order_id from raw.amazon_orders order by amazon_order_id")
    return [row.amazon_order_id for row in rows]


def windows(road: Road) -> list[Any]:
    return road.rows("select * from ops.ingest_windows order by ingest_window_id")


def watermark(road: Road) -> datetime | None:
    moment: datetime | None = road.value("select max(updated_to) from ops.ingest_windows where state = 'landed'")
    return moment


def searches(road: Road) -> int:
    return road.sandbox.amazon_faults.calls["searchOrders"]


def fault(road: Road, kind: str, *, skip: int = 0, times: int = 1) -> None:
    road.sandbox.amazon_faults.add(Fault("searchOrders", kind, skip=skip, times=times))  # type: ignore[arg-type]


# Windows


def test_a_window_ends_before_amazons_clock_when_ours_is_wrong(road: Road) -> None:
    road.sandbox.clock.advance(timedelta(hours=7))  # Amazon's clock alone: the worker's is seven hours behind
    before = road.sandbox.clock.now()
    road.extract_amazon_orders()

    (window,) = windows(road)
    assert before - MARGIN - timedelta(seconds=1) <= window.updated_to <= road.sandbox.clock.now() - MARGIN


def test_windows_overlap_when_one_follows_the_other(road: Road) -> None:
    for _ in range(3):
        road.pass_time(minutes=5)
        road.extract_amazon_orders()

    assert [window.state for window in windows(road)] == ["landed"] * 3
    for first, second in pairwise(windows(road)):
        assert second.updated_from == first.updated_to - OVERLAP
        assert second.updated_to > first.updated_to


def test_the_watermark_moves_when_the_listing_is_empty(road: Road) -> None:
    counts = road.extract_amazon_orders()
    first = watermark(road)
    road.pass_time(minutes=5)
    road.extract_amazon_orders()

    assert counts == {"pages": 1, "orders": 0, "new_versions": 0, "quarantined": 0}
    assert first is not None and watermark(road) >= first + timedelta(minutes=5)  # type: ignore[operator]


def test_nothing_is_asked_when_the_window_would_be_too_short(road: Road) -> None:
    road.change_settings(window_minimum=timedelta(minutes=1))
    road.extract_amazon_orders()
    asked = searches(road)

    assert road.extract_amazon_orders()["pages"] == 0
    assert (searches(road), len(windows(road))) == (asked, 1)
    road.pass_time(seconds=61)
    assert road.extract_amazon_orders()["pages"] == 1


def test_nothing_lands_twice_when_the_overlap_shows_it_again(road: Road) -> None:
    ids = buy(road, 1, 2, 3)
    assert road.extract_amazon_orders()["new_versions"] == 3
    road.pass_time(minutes=5)
    counts = road.extract_amazon_orders()

    assert (counts["orders"], counts["new_versions"]) == (3, 0)
    assert landed(road) == ids
    assert road.value("select count(*) from raw.amazon_orders") == 3


def test_a_late_listing_lands_when_it_falls_into_the_overlap(road: Road) -> None:
    road.extract_amazon_orders()
    mark = watermark(road)
    assert mark is not None
    # Amazon shows them only now, with times that the watermark has passed already.
    road.sandbox.amazon.add_order(seed(order_id(1), at=mark - OVERLAP + timedelta(minutes=1)))
    road.sandbox.amazon.add_order(seed(order_id(2), at=mark - OVERLAP - timedelta(minutes=1)))
    road.pass_time(minutes=5)
    road.extract_amazon_orders()

    assert landed(road) == [order_id(1)]  # the other is what the overlap's length gives up


# Pages


def test_every_page_lands_when_there_are_several(road: Road) -> None:
    ids = buy(road, 1, 2, 3, 4, 5)
    counts = road.extract_amazon_orders()

    assert (counts["pages"], counts["orders"], searches(road)) == (3, 5, 3)
    assert landed(road) == ids
    assert road.value("select count(*) from pii.order_contacts") == 5
    (window,) = windows(road)
    assert (window.state, window.page_count, window.next_token) == ("landed", 3, None)


@pytest.mark.parametrize("kind", ["html_500", "empty_500", "broken_json", "lost_reply", "dropped", "html_503"])
def test_the_watermark_stays_when_a_page_fails(road: Road, kind: str) -> None:
    ids = buy(road, 1, 2, 3, 4, 5)
    fault(road, kind, skip=1)
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()

    assert watermark(road) is None
    assert landed(road) == ids[:2], "what landed before stays landed"
    (window,) = windows(road)
    assert (window.state, window.page_count) == ("open", 1)


def test_the_window_goes_on_where_it_stopped_when_a_page_has_failed(road: Road) -> None:
    ids = buy(road, 1, 2, 3, 4, 5)
    fault(road, "html_500", skip=1)
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()
    (before,) = windows(road)
    asked = searches(road)
    road.pass_time(minutes=30)
    road.change_settings(orders_per_page=100)  # must not change the frozen query
    counts = road.extract_amazon_orders()

    assert (counts["pages"], counts["orders"], searches(road)) == (2, 3, asked + 2)
    (after,) = windows(road)
    assert (after.state, after.query, after.updated_to) == ("landed", before.query, before.updated_to)
    assert landed(road) == ids


def test_the_window_starts_anew_when_it_failed_before_its_first_page(road: Road) -> None:
    ids = buy(road, 1)
    fault(road, "html_500")
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()
    road.pass_time(minutes=30)
    road.extract_amazon_orders()

    abandoned, second = windows(road)
    assert (abandoned.state, second.state) == ("abandoned", "landed")
    assert (second.updated_from, second.updated_to > abandoned.updated_to) == (abandoned.updated_from, True)
    assert landed(road) == ids


def test_the_next_run_goes_on_when_amazon_throttles_a_later_page(road: Road) -> None:
    ids = buy(road, 1, 2, 3)
    fault(road, "throttle", skip=1)
    counts = road.extract_amazon_orders()

    assert (counts["pages"], watermark(road)) == (1, None)
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    assert (landed(road), [window.state for window in windows(road)]) == (ids, ["landed"])


def test_the_step_fails_when_amazon_throttles_the_first_page(road: Road) -> None:
    fault(road, "throttle")
    with pytest.raises(ThrottledError):
        road.extract_amazon_orders()
    assert watermark(road) is None


def test_the_listing_starts_anew_when_the_page_token_has_died_of_age(road: Road) -> None:
    ids = buy(road, 1, 2, 3)
    fault(road, "html_500", skip=1)
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()
    road.pass_time(hours=24)
    road.extract_amazon_orders()

    abandoned, second = windows(road)
    assert (abandoned.state, abandoned.next_token, second.state) == ("abandoned", None, "landed")
    assert second.updated_from == abandoned.updated_from
    assert landed(road) == ids


def test_the_listing_starts_anew_when_amazon_refuses_the_page_token(road: Road) -> None:
    ids = buy(road, 1, 2, 3)
    fault(road, "html_500", skip=1)
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()
    with road.engine.begin() as connection:
        connection.exec_driver_sql("update ops.ingest_windows set next_token = '/+spoiled='")
    with pytest.raises(UnavailableError, match="starts anew"):
        road.extract_amazon_orders()
    assert watermark(road) is None
    road.extract_amazon_orders()

    assert [window.state for window in windows(road)] == ["abandoned", "landed"]
    assert landed(road) == ids


def test_the_watermark_stays_when_amazon_repeats_a_page_under_another_token(road: Road) -> None:
    """Reported of Amazon's older listing; a repeated page means that another one was never shown."""
    ids = buy(road, 1, 2, 3, 4, 5)
    tokens = []
    for _ in range(2):
        fault(road, "html_500", skip=1)
        with pytest.raises(UnavailableError):
            road.extract_amazon_orders()
        tokens.append(windows(road)[0].next_token)
    assert windows(road)[0].page_count == 2
    with road.engine.begin() as connection:
        # The token of the third page now leads to the second one again.
        connection.exec_driver_sql("update ops.ingest_windows set next_token = %(token)s", {"token": tokens[0]})
    with pytest.raises(UnavailableError, match="twice"):
        road.extract_amazon_orders()

    assert watermark(road) is None
    road.extract_amazon_orders()
    assert [window.state for window in windows(road)] == ["abandoned", "landed"]
    assert landed(road) == ids


def test_one_fresh_token_is_asked_for_when_amazon_calls_the_access_token_expired(road: Road) -> None:
    ids = buy(road, 1)
    fault(road, "expired_token")
    road.extract_amazon_orders()
    assert landed(road) == ids

    fault(road, "expired_token", times=100)
    with pytest.raises(MisconfiguredError, match="although the token is fresh"):
        road.extract_amazon_orders()


# Versions


def test_both_versions_land_when_an_order_changes(road: Road) -> None:
    (one,) = buy(road, 1)
    road.extract_amazon_orders()
    road.sandbox.amazon.apply(one, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    road.stage_amazon_orders()

    assert road.value("select count(*) from raw.amazon_orders") == 2
    assert road.value("select amazon_status from core.orders") == "CANCELLED"


def two_versions_on_two_pages(road: Road) -> str:
    """UNSHIPPED on the first window's page, SHIPPED on the second's; nothing staged."""
    (one,) = buy(road, 1)
    road.extract_amazon_orders()
    item = road.sandbox.amazon.order(one)["orderItems"][0]["orderItemId"]
    fulfilled = {"orderItemId": item, "fulfillment": {"quantityFulfilled": 1, "quantityUnfulfilled": 0}}
    road.sandbox.amazon.apply(one, {"fulfillment": {"fulfillmentStatus": "SHIPPED"}, "orderItems": [fulfilled]})
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    return one


@pytest.mark.parametrize("sequence", [(1, 2), (2, 1), (2, 1, 1, 2)], ids=str)
def test_the_newest_version_stays_when_pages_are_staged_in_any_sequence(road: Road, sequence: tuple[int, ...]) -> None:
    two_versions_on_two_pages(road)
    for window_id in sequence:
        with road.engine.begin() as connection:
            connection.exec_driver_sql(
                "update ops.ingest_pages set staged_at = case when ingest_window_id = %(id)s then null else now() end",
                {"id": window_id},
            )
        road.stage_amazon_orders()

    (order,) = road.rows("select * from core.orders")
    assert (order.amazon_status, order.fulfilled_qty) == ("SHIPPED", 1)
    assert road.value("select fulfilled_qty from core.order_items") == 1


def test_the_newest_version_wins_when_two_are_staged_at_once(road: Road) -> None:
    one = two_versions_on_two_pages(road)
    road.stage_amazon_orders()

    (order,) = road.rows("select * from core.orders")
    assert (order.amazon_order_id, order.amazon_status) == (one, "SHIPPED")
    changes = road.rows("select from_code, to_code from core.order_status_changes order by changed_at")
    assert [tuple(change) for change in changes] == [(None, "UNSHIPPED"), ("UNSHIPPED", "SHIPPED")]


# Whose orders


def test_an_order_is_kept_but_not_created_when_it_was_sold_outside_amazon(road: Road) -> None:
    """Sold elsewhere and only shipped by Amazon: the shop has it already, and must not get it once more."""
    document = amazon_order(
        order_id(1), {"TRAY-WALNUT": 1}, at=road.sandbox.clock.now(), status="SHIPPED", fulfilled_by="AMAZON"
    )
    document["salesChannel"] = {"channelName": "NON_AMAZON", "marketplaceId": US}
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.pass_time(minutes=10)
    road.orders_run()

    assert landed(road) == [order_id(1)]
    assert road.sandbox.commerce.orders() == []
    assert tuple(road.rows("select store_name, marketplace_id from core.orders")[0]) == (None, None)
    shown = road.shown(order_id(1))
    assert (shown.status, shown.commerce_order_number, shown.is_blocked) == ("Shipped", None, False)


def test_another_accounts_order_is_set_aside_when_a_listing_shows_it(road: Road) -> None:
    one, other = buy(road, 1, 2)
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    with road.engine.begin() as connection:
        connection.exec_driver_sql(
            "update core.orders set account_name = 'acme-eu' where amazon_order_id = %(id)s", {"id": one}
        )
    for each in (one, other):
        road.sandbox.amazon.apply(each, {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    road.pass_time(minutes=5)
    counts = road.extract_amazon_orders()
    road.stage_amazon_orders()

    assert counts["quarantined"] == 1
    statuses = {row.amazon_order_id: row.amazon_status for row in road.rows("select * from core.orders")}
    assert statuses == {one: "UNSHIPPED", other: "CANCELLED"}
    (quarantined,) = road.rows("select * from ops.quarantined_orders")
    assert (quarantined.amazon_order_id, quarantined.findings) == (one, ["orderId: belongs to account acme-eu already"])


def test_only_its_own_order_is_set_aside_when_a_document_is_malformed(road: Road) -> None:
    malformed = amazon_order(order_id(1), at=road.sandbox.clock.now())
    malformed["orderItems"][0]["quantityOrdered"] = "two"
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, malformed))
    (sound,) = buy(road, 2)
    counts = road.extract_amazon_orders()

    assert (counts["orders"], counts["quarantined"], landed(road)) == (2, 1, [sound])
    assert watermark(road) is not None
    item = malformed["orderItems"][0]["orderItemId"]
    road.sandbox.amazon.apply(order_id(1), {"orderItems": [{"orderItemId": item, "quantityOrdered": 2}]})
    road.pass_time(minutes=5)
    road.extract_amazon_orders()

    assert landed(road) == [order_id(1), sound]
    assert road.value("select released_at from ops.quarantined_orders") is not None
