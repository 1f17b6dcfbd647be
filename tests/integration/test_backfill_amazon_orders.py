"""A stretch of the past, or a list of orders, from Amazon: beside live orders, once, and as far as the quota goes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.database.locks import autocommit, try_lock
from include.domain.errors import ForbiddenError, MisconfiguredError, UnavailableError
from include.steps import backfill_amazon_orders
from local.sandbox.faults import Fault
from tests.support.orders import order_id, seed
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

TRAY = "TRAY-WALNUT"
CANADA = "A2EUQ1WTGCTBG2"
NEW = order_id(999)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def road(road: Road) -> Road:
    """One account, whose store imports what is bought from now on; two orders a page, windows of a day."""
    road.with_account("acme-na")
    road.change_settings(orders_per_page=2, initial_lookback=timedelta(), history_window=timedelta(days=1))
    for name in ("Acme US", "Acme Canada"):
        road.change_store(name, import_since=None)
    road.stage_stores()
    road.pass_time(minutes=1)
    return road


def old_orders(road: Road, count: int, *, days: float = 100, first: int = 1) -> list[str]:
    """Orders of one minute each, bought at noon `days` days ago and not changed since."""
    at = TODAY - timedelta(days=days - 0.5)
    ids = [order_id(number) for number in range(first, first + count)]
    for position, one in enumerate(ids):
        road.sandbox.amazon.add_order(seed(one, {TRAY: 1}, at=at + timedelta(minutes=position)))
    return ids


def backfill(
    road: Road, *, days: float = 101, until: float = 99, is_dry_run: bool = False, **params: Any
) -> tuple[bool, dict[str, int]]:
    """One try of a backfill; without a list of orders, of those created `days` to `until` days ago."""
    if "amazon_order_ids" not in params:
        params = {
            "created_from": (TODAY - timedelta(days=days)).isoformat(),
            "created_to": (TODAY - timedelta(days=until)).isoformat(),
        } | params
    request = backfill_amazon_orders.read_request({"account": "acme-na", **params}, road.stores, now=road.now())
    with road.amazon("acme-na") as client:
        work = (road.engine, client, road.cipher, road.stores.account("acme-na"), request, road.settings)
        return backfill_amazon_orders.run(*work, is_dry_run=is_dry_run, dag_run_id=road.run_id)


def landed(road: Road) -> list[str]:
    rows = road.rows("select amazon_order_id from raw.amazon_orders order by amazon_order_id")
    return [row.amazon_order_id for row in rows]


def states(road: Road) -> dict[str, str]:
    rows = road.rows("select amazon_order_id, pipeline_state from core.orders")
    return {row.amazon_order_id: row.pipeline_state for row in rows}


def in_shop(road: Road, order: str) -> int:
    return len(road.sandbox.commerce.order_by_ext_id(order))


def progress(road: Road) -> Any:
    (row,) = road.rows("select * from reporting.backfills")
    return row


# What is read, and what becomes of it


def test_old_orders_are_kept_and_never_created_when_only_looked_at(road: Road) -> None:
    old = old_orders(road, 5)
    assert backfill(road)[0]
    assert landed(road) == old
    road.next_run()
    road.next_run()
    assert states(road) == dict.fromkeys(old, "not_imported")
    assert not any(in_shop(road, each) for each in old)
    assert not road.shown(old[0]).is_blocked


def test_old_orders_are_created_once_when_wanted_in_commerce(road: Road) -> None:
    old = old_orders(road, 3)
    backfill(road)
    road.next_run()
    assert backfill(road, create_in_commerce=True)[0]
    road.next_run()
    road.next_run()
    assert states(road) == dict.fromkeys(old, "created")
    assert [in_shop(road, each) for each in old] == [1, 1, 1]


def test_order_is_created_as_ever_when_a_backfill_reads_it_before_the_listing(road: Road) -> None:
    road.buy(NEW, {TRAY: 1})
    road.pass_time(minutes=10)
    assert backfill(road, amazon_order_ids=[NEW])[0]
    road.stage_amazon_orders()
    road.validate_orders()
    assert states(road) == {NEW: "not_imported"}, "nobody else has seen it yet"
    road.next_run()
    assert states(road) == {NEW: "created"}
    assert in_shop(road, NEW) == 1


def test_order_of_the_listing_goes_on_when_a_backfill_reads_it_later(road: Road) -> None:
    road.buy(NEW, {"NOT-IN-THE-CATALOG": 1})
    road.next_run()
    assert states(road) == {NEW: "blocked"}
    backfill(road, amazon_order_ids=[NEW])
    road.next_run()
    assert states(road) == {NEW: "blocked"}


def test_newer_version_stays_when_the_backfill_brings_an_older_one(road: Road) -> None:
    (old,) = old_orders(road, 1)
    with road.amazon("acme-na") as client:
        older = client.read_order(old)
    road.sandbox.amazon.apply(old, {"programs": ["PRIME"]})
    road.next_run()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("include.adapters.amazon.client.AmazonClient.read_order", lambda *_, **__: older)
        assert backfill(road, amazon_order_ids=[old])[0]
    road.stage_amazon_orders()
    assert landed(road) == [old, old], "both versions are kept"
    assert road.value("select programs from core.orders") == ["PRIME"]


def test_only_the_chosen_store_is_read_when_stores_are_named(road: Road) -> None:
    (us,) = old_orders(road, 1)
    at = TODAY - timedelta(days=99.5)
    road.sandbox.amazon.add_order(seed(order_id(2), at=at, marketplace_id=CANADA, currency="CAD"))
    assert backfill(road, stores=["Acme Canada"])[0]
    assert landed(road) == [order_id(2)]
    assert backfill(road)[0]
    assert landed(road) == [us, order_id(2)]


# Quota, kills and copies


def test_live_orders_keep_their_tokens_when_a_backfill_is_long(road: Road) -> None:
    road.sandbox.amazon.enforce_rate_limits = True
    old = old_orders(road, 60)
    assert backfill(road) == (False, {"pages": 14, "orders": 28, "new_versions": 28, "quarantined": 0})
    assert 6 <= road.value("select tokens from ops.rate_limits where operation = 'searchOrders'") < 7
    road.buy(NEW, {TRAY: 1})
    road.next_run()
    assert in_shop(road, NEW) == 1, "in the very next run"
    for _ in range(20):
        road.pass_time(hours=1)
        if backfill(road)[0]:
            break
    assert set(landed(road)) == {*old, NEW}
    assert road.value("select count(*) from ops.backfills") == 1
    assert progress(road).finished_at is not None
    assert progress(road).order_count == 60


def test_progress_says_what_is_left_when_a_backfill_is_under_way(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    road.sandbox.amazon.enforce_rate_limits = True
    old_orders(road, 2, days=100)
    old_orders(road, 40, days=150, first=100)
    caplog.set_level(logging.INFO)
    assert not backfill(road, days=151)[0]
    row = progress(road)
    assert row.window_count > 0 and row.page_count == 14
    assert 0 < row.read_percent < 100
    assert row.seconds_left is not None and row.finished_at is None
    assert "time left at this rate: " in caplog.text
    assert f"pages={row.page_count} orders={row.order_count}" in caplog.text


@pytest.mark.parametrize("after", [1, 2, 4])
def test_nothing_is_lost_or_read_twice_when_a_backfill_is_killed(road: Road, after: int) -> None:
    old = old_orders(road, 9)
    left = after

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed

    with pytest.MonkeyPatch.context() as patched:
        # Nothing of the page that is being landed stays.
        patched.setattr("include.outbox.page_reader.note_addresses", kill)
        with pytest.raises(Killed):
            backfill(road)
    assert len(landed(road)) == 2 * (after - 1)
    asked = road.sandbox.amazon_faults.calls["searchOrders"]
    assert backfill(road)[0]
    assert landed(road) == old
    assert road.sandbox.amazon_faults.calls["searchOrders"] - asked <= 5 - after + 3
    assert progress(road).order_count == 9


def test_backfill_goes_on_when_amazon_fails_and_its_page_token_dies(road: Road) -> None:
    old = old_orders(road, 6)
    road.sandbox.amazon_faults.add(Fault("searchOrders", "html_500", skip=2))
    assert not backfill(road)[0]
    assert road.value("select failures from ops.backfills") == 1
    road.pass_time(hours=30)
    assert backfill(road)[0]
    assert landed(road) == old
    assert road.value("select failures from ops.backfills") == 0


def test_backfill_fails_when_amazon_is_down_for_long(road: Road) -> None:
    old_orders(road, 1)
    road.change_settings(failed_attempts=2)
    road.sandbox.amazon_faults.add(Fault("searchOrders", "html_500", times=10))
    assert not backfill(road)[0]
    with pytest.raises(UnavailableError):
        backfill(road)


def test_backfill_says_so_when_amazon_refuses_the_marketplace(road: Road) -> None:
    old_orders(road, 1)
    road.sandbox.amazon.refused_marketplaces.add(CANADA)
    with pytest.raises(ForbiddenError, match="marketplaces are the seller's"):
        backfill(road)
    assert backfill(road, stores=["Acme US"])[0]
    assert landed(road) == [order_id(1)]


def test_second_copy_leaves_it_to_the_first_when_both_run(road: Road) -> None:
    old = old_orders(road, 3)
    params = {"created_from": "2020-01-01T00:00:00Z"}
    request = backfill_amazon_orders.read_request({"account": "acme-na", **params}, road.stores, now=road.now())
    with autocommit(road.engine) as session, try_lock(session, "backfill_amazon_orders", request.sha256):
        assert backfill(road, created_to=None, **params) == (False, {})
    assert landed(road) == []
    road.change_settings(history_window=timedelta(days=400))
    assert backfill(road, created_to=None, **params)[0]
    assert landed(road) == old


def test_nothing_changes_when_a_finished_backfill_is_repeated(road: Road) -> None:
    old_orders(road, 3)
    backfill(road)
    road.next_run()
    asked = road.sandbox.amazon_faults.calls["searchOrders"]
    before = road.dump()
    road.run_number -= 1
    assert backfill(road)[0], "the same run again"
    assert road.sandbox.amazon_faults.calls["searchOrders"] == asked
    road.run_number += 1
    assert backfill(road)[0], "another run"
    tables = ("raw.amazon_orders", "pii.order_contacts", "core.orders", "core.order_items", "ops.backfilled_orders")
    after = road.dump()
    assert all(after[name] == before[name] for name in tables)


# A list of orders


def test_good_orders_land_when_some_ids_are_bad(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    old = old_orders(road, 3)
    road.sandbox.amazon_faults.add(Fault("getOrder", "broken_json", times=20, about=old[1]))
    unknown = order_id(77)
    ids = [old[2], "no id at all", old[0], unknown, old[1], old[0]]
    assert not backfill(road, amazon_order_ids=ids)[0]
    assert landed(road) == [old[0], old[2]]
    for _ in range(10):
        if backfill(road, amazon_order_ids=ids)[0]:
            break
    rows = road.rows("select * from ops.backfill_orders where problem is not null order by amazon_order_id")
    problems = {row.amazon_order_id: row.problem for row in rows}
    assert set(problems) == {"no id at all", unknown, old[1]}
    assert "404" in problems[unknown] and "is no Amazon order id" in problems["no id at all"]
    assert f"order={unknown} cannot be read" in caplog.text
    assert progress(road).failed_order_count == 3
    calls = road.sandbox.amazon_faults.calls["getOrder"]
    assert calls == 2 + 1 + road.settings.failed_attempts, "each is read once, the silent one some times"


def test_order_lands_whole_when_it_is_read_by_its_id(road: Road) -> None:
    (old,) = old_orders(road, 1)
    backfill(road, amazon_order_ids=[old], create_in_commerce=True)
    road.next_run()
    assert in_shop(road, old) == 1
    (order,) = road.sandbox.commerce.order_by_ext_id(old)
    assert "Kwz" in str(order["billing_address"]), "with its address"


def test_getorder_keeps_tokens_for_others_when_many_orders_are_read(road: Road) -> None:
    road.sandbox.amazon.enforce_rate_limits = True
    old = old_orders(road, 25)
    is_over, counts = backfill(road, amazon_order_ids=old)
    assert not is_over and 20 <= counts["orders"] < 25
    road.pass_time(minutes=5)
    assert backfill(road, amazon_order_ids=old)[0]
    assert landed(road) == old


# What it refuses


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"account": None}, r"param account is missing.*acme-na"),
        ({"account": "acme"}, r"param account is 'acme', which the stores file does not have.*use one of acme-na"),
        ({"created_from": None}, r"param created_from is missing.*amazon_order_ids"),
        ({"created_from": "last week"}, r"param created_from is 'last week'.*2026-01-31T00:00:00Z"),
        ({"created_from": "2999-01-01"}, r"param created_from is in the future"),
        ({"created_to": "2020-01-01"}, r"param created_to is before created_from"),
        ({"stores": ["Acme Mars"]}, r"param stores names Acme Mars.*use Acme Canada, Acme US"),
        ({"stores": "Acme US"}, r"param stores is no list"),
        ({"amazon_order_ids": [order_id(1)]}, r"param created_from does not go with amazon_order_ids"),
        ({"create_in_commerce": "yes"}, r"param create_in_commerce is neither"),
    ],
)
def test_request_is_refused_when_a_param_is_wrong(road: Road, params: dict[str, Any], what: str) -> None:
    given = {"account": "acme-na", "created_from": "2026-01-01T00:00:00Z", **params}
    with pytest.raises(MisconfiguredError, match=what + r".*Resolution: |" + what):
        backfill_amazon_orders.read_request(given, road.stores, now=road.now())


def test_nothing_changes_when_a_backfill_is_dry(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    old = old_orders(road, 2)
    before = road.dump()
    assert backfill(road, is_dry_run=True)[0]
    assert "dry run, nothing was changed: account=acme-na would be read: orders of A2EUQ1WTGCTBG2" in caplog.text
    assert backfill(road, amazon_order_ids=old, is_dry_run=True) == (True, {"orders": 2, "known": 0})
    assert road.dump() == before
    assert road.sandbox.amazon_faults.calls["searchOrders"] == road.sandbox.amazon_faults.calls["getOrder"] == 0
