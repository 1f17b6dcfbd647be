"""New orders never wait for old ones, nor for a marketplace that Amazon refuses; nothing is left out in the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.domain.errors import ForbiddenError, MisconfiguredError, UnavailableError
from include.domain.stores import Stores
from local.sandbox.faults import Fault
from tests.support.orders import US, order_id, seed
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

CANADA = "A2EUQ1WTGCTBG2"
OVERLAP = timedelta(seconds=1800)
NEW = order_id(999)


@pytest.fixture
def road(road: Road) -> Road:
    """One account with two stores, known since now; two orders a page."""
    road.with_account("acme-na")
    road.change_settings(orders_per_page=2)
    road.stage_stores()
    return road


def old_orders(road: Road, count: int, *, days: float = 3) -> list[str]:
    """Orders of one minute each, `days` days ago."""
    at = road.sandbox.clock.now() - timedelta(days=days)
    ids = [order_id(number) for number in range(1, count + 1)]
    for position, one in enumerate(ids):
        road.sandbox.amazon.add_order(seed(one, at=at + timedelta(minutes=position)))
    return ids


def landed(road: Road) -> list[str]:
    rows = road.rows("select distinct amazon_order_id from raw.amazon_orders order by amazon_order_id")
    return [row.amazon_order_id for row in rows]


def windows(road: Road, kind: str) -> list[Any]:
    return road.rows("select * from ops.ingest_windows where kind = :kind order by ingest_window_id", kind=kind)


def searches(road: Road) -> int:
    return road.sandbox.amazon_faults.calls["searchOrders"]


def covered_from(road: Road, marketplace_id: str = US) -> datetime:
    """Where the one gapless stretch of the marketplace's listing begins."""
    rows = road.rows(
        "select lower(stretch) as begin from ops.ingest_coverage cross join unnest(covered) as stretch"
        " where marketplace_id = :marketplace_id",
        marketplace_id=marketplace_id,
    )
    assert len(rows) == 1, "the listing was read without a gap"
    begin: datetime = rows[0].begin
    return begin


def tokens(road: Road) -> float:
    return float(road.value("select tokens from ops.rate_limits where operation = 'searchOrders'"))


def store(road: Road, name: str) -> Any:
    (row,) = road.rows("select * from core.stores where store_name = :name", name=name)
    return row


def run_with(road: Road, marketplace_id: str, number: int) -> str:
    """Ten minutes later a buyer orders there; ten more, and Amazon lists it and the step runs."""
    road.sandbox.amazon.add_order(
        seed(
            order_id(number),
            at=road.sandbox.clock.now(),
            marketplace_id=marketplace_id,
            currency="USD" if marketplace_id == US else "CAD",
        )
    )
    road.pass_time(minutes=10)
    road.run_number += 1
    return order_id(number)


# History


def test_one_run_reads_everything_since_import_since_when_it_is_little(road: Road) -> None:
    old = old_orders(road, 3, days=200)
    road.buy(NEW)
    road.pass_time(minutes=10)
    road.extract_amazon_orders()

    assert landed(road) == [*old, NEW]
    assert covered_from(road) == datetime(2026, 1, 1, tzinfo=UTC)
    assert searches(road) < 10, "quiet months cost few requests"


def test_history_reaches_back_for_the_lookback_when_nothing_says_more(road: Road) -> None:
    road.change_store("Acme US", import_since=None)
    road.stage_stores()
    road.extract_amazon_orders()

    expected = road.value("select min(connected_at) from core.stores") - road.settings.initial_lookback
    assert timedelta() <= expected - covered_from(road) < timedelta(milliseconds=1)


def test_new_orders_come_first_when_there_is_much_history(road: Road) -> None:
    old = old_orders(road, 60)
    road.buy(NEW)
    road.pass_time(minutes=10)
    road.extract_amazon_orders()

    first = road.value("select amazon_order_id from raw.amazon_orders order by amazon_order_version_id limit 1")
    assert first == NEW
    assert 0 < len(landed(road)) - 1 < len(old), "Amazon's quota ended the history, without an error"
    assert tokens(road) >= 3
    for number in range(900, 950):
        one = run_with(road, US, number)
        counts = road.extract_amazon_orders()
        assert one in landed(road), "no run's live window is throttled"
        assert counts["pages"] >= 1 and tokens(road) >= 2
        if set(old) <= set(landed(road)):
            break
    assert set(old) <= set(landed(road))
    assert [window.state for window in windows(road, "live")] == ["landed"] * len(windows(road, "live"))


def test_history_goes_on_with_its_token_when_it_was_throttled(road: Road) -> None:
    old_orders(road, 60)
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    before = windows(road, "history")[-1]
    assert (before.state, before.next_token is not None) == ("open", True)
    road.pass_time(minutes=30)
    road.run_number += 1
    road.extract_amazon_orders()

    after = next(w for w in windows(road, "history") if w.ingest_window_id == before.ingest_window_id)
    assert (after.query, after.page_count > before.page_count) == (before.query, True)


def test_history_is_asked_for_in_smaller_windows_when_its_token_has_died(road: Road) -> None:
    old = old_orders(road, 60)
    road.pass_time(minutes=10)
    road.extract_amazon_orders()
    died = windows(road, "history")[-1]
    road.pass_time(hours=24)
    road.run_number += 1
    road.extract_amazon_orders()

    states = {w.ingest_window_id: w for w in windows(road, "history")}
    assert states[died.ingest_window_id].state == "abandoned"
    following = next(w for w in windows(road, "history") if w.ingest_window_id > died.ingest_window_id)
    assert following.updated_to == died.updated_to
    assert (following.updated_to - following.updated_from) * 2 <= died.updated_to - died.updated_from + OVERLAP
    for _ in range(10):
        road.pass_time(hours=2)
        road.run_number += 1
        road.extract_amazon_orders()
    assert landed(road) == old


def test_newest_history_is_read_first_when_there_are_several_windows(road: Road) -> None:
    road.extract_amazon_orders()

    ends = [window.updated_to for window in windows(road, "history")]
    assert len(ends) > 1 and ends == sorted(ends, reverse=True)
    assert windows(road, "history")[0].updated_to == windows(road, "live")[0].updated_from


def test_nothing_more_is_asked_when_all_history_is_read(road: Road) -> None:
    road.extract_amazon_orders()
    asked = searches(road)
    road.pass_time(minutes=5)
    road.extract_amazon_orders()

    assert searches(road) == asked + 1


def test_new_orders_land_when_a_page_of_history_fails(road: Road) -> None:
    old = old_orders(road, 3)
    road.buy(NEW)
    road.pass_time(minutes=10)
    road.sandbox.amazon_faults.add(Fault("searchOrders", "html_500", skip=1))
    with pytest.raises(UnavailableError):
        road.extract_amazon_orders()
    assert landed(road) == [NEW]
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    assert landed(road) == [*old, NEW]
    covered_from(road)


def test_history_lands_when_a_marketplace_is_connected_later(road: Road) -> None:
    (account,) = road.stores.accounts
    both = account.stores
    road.stores = Stores((replace(account, stores=both[:1]),))
    old = road.sandbox.clock.now() - timedelta(days=3)
    road.sandbox.amazon.add_order(seed(order_id(1), at=old))
    road.sandbox.amazon.add_order(seed(order_id(2), at=old, marketplace_id=CANADA, currency="CAD"))
    road.extract_amazon_orders()
    assert landed(road) == [order_id(1)]

    road.stores = Stores((replace(account, stores=both),))
    road.stage_stores()
    road.buy(NEW)
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    road.stage_amazon_orders()

    assert landed(road) == [order_id(1), order_id(2), NEW]
    live = windows(road, "live")[-1]
    assert live.marketplace_ids == [CANADA, US]
    assert live.updated_from == windows(road, "live")[-2].updated_to - OVERLAP, "new orders do not wait for it"
    stores = {row.amazon_order_id: row.store_name for row in road.rows("select * from core.orders")}
    assert (stores[order_id(1)], stores[order_id(2)]) == ("Acme US", "Acme Canada")
    history = len(windows(road, "history"))
    assert windows(road, "history")[-1].marketplace_ids == [CANADA]
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    assert len(windows(road, "history")) == history, "the history is fetched once"


def test_exactly_the_gap_is_read_when_import_since_moves_back(road: Road) -> None:
    road.extract_amazon_orders()
    before = covered_from(road)
    road.change_store("Acme US", import_since=before - timedelta(days=10))
    road.stage_stores()
    (old,) = old_orders(road, 1, days=(road.sandbox.clock.now() - before) / timedelta(days=1) + 5)
    road.pass_time(minutes=5)
    known = len(windows(road, "history"))
    road.extract_amazon_orders()

    assert landed(road) == [old]
    fetched = windows(road, "history")[known:]
    assert (fetched[0].updated_to, fetched[-1].updated_from) == (before, before - timedelta(days=10))
    assert {tuple(window.marketplace_ids) for window in fetched} == {(US,)}
    assert covered_from(road) == before - timedelta(days=10)


# A marketplace that Amazon refuses


def test_other_marketplaces_go_on_when_amazon_refuses_one(road: Road) -> None:
    road.extract_amazon_orders()
    road.sandbox.amazon.refused_marketplaces.add(CANADA)
    lost = run_with(road, CANADA, 1)
    sound = run_with(road, US, 2)
    with pytest.raises(MisconfiguredError, match=r"Acme Canada .*A2EUQ1WTGCTBG2.*Resolution: .*roles") as caught:
        road.extract_amazon_orders()

    assert "Acme US" not in str(caught.value)
    assert landed(road) == [sound], "in the same run"
    row = store(road, "Acme Canada")
    assert "403" in row.amazon_problem and row.amazon_problem_dag_run_id == road.run_id
    assert store(road, "Acme US").amazon_problem is None
    asked = searches(road)
    following = run_with(road, US, 3)
    with pytest.raises(MisconfiguredError, match="Acme Canada"):
        road.extract_amazon_orders()
    assert following in landed(road)
    assert windows(road, "live")[-1].marketplace_ids == [US]
    assert searches(road) - asked <= 3, "the live window, and at most one try with a fresh token"

    road.sandbox.amazon.refused_marketplaces.clear()
    road.pass_time(hours=1)
    road.extract_amazon_orders()
    assert landed(road) == sorted([lost, sound, following])
    row = store(road, "Acme Canada")
    assert (row.amazon_problem, row.amazon_problem_at, row.amazon_retry_at) == (None, None, None)
    covered_from(road, CANADA)
    covered_from(road, US)
    road.pass_time(minutes=5)
    road.extract_amazon_orders()
    assert windows(road, "live")[-1].marketplace_ids == [CANADA, US]


def test_a_refused_marketplace_is_asked_for_at_growing_distance_when_it_stays_refused(road: Road) -> None:
    road.extract_amazon_orders()
    road.sandbox.amazon.refused_marketplaces.add(CANADA)
    tries: list[bool] = []
    for _ in range(18):  # six hours
        road.pass_time(minutes=20)
        road.run_number += 1
        with pytest.raises(MisconfiguredError, match="Acme Canada"):
            road.extract_amazon_orders()
        tries.append(store(road, "Acme Canada").amazon_problem_dag_run_id == road.run_id)
    assert tries[:2] == [True, True], "soon at first"
    assert 1 <= sum(tries[-6:]) <= 2, "about once an hour in the end"


def test_first_orders_land_when_a_marketplace_is_refused_from_the_start(road: Road) -> None:
    road.sandbox.amazon.refused_marketplaces.add(CANADA)
    old = old_orders(road, 3)
    road.buy(NEW)
    road.pass_time(minutes=10)
    with pytest.raises(MisconfiguredError, match="Acme Canada"):
        road.extract_amazon_orders()
    assert landed(road) == [*old, NEW]
    assert covered_from(road) == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_account_fails_when_amazon_refuses_all_its_marketplaces(road: Road) -> None:
    road.extract_amazon_orders()
    road.sandbox.amazon.refused_marketplaces |= {US, CANADA}
    for number in (1, 2):
        run_with(road, US, number)
        with pytest.raises(ForbiddenError, match="although the token is fresh"):
            road.extract_amazon_orders()
    assert landed(road) == []
    road.sandbox.amazon.refused_marketplaces.clear()
    run_with(road, CANADA, 3)
    road.extract_amazon_orders()
    assert landed(road) == [order_id(1), order_id(2), order_id(3)], "at once, without waiting for a next try"
    assert road.value("select count(*) from core.stores where amazon_problem is not null") == 0


def test_a_refused_marketplace_is_found_when_there_are_few_tokens_left(road: Road) -> None:
    road.extract_amazon_orders()
    road.sandbox.amazon.refused_marketplaces.add(CANADA)
    sound = run_with(road, US, 1)
    with road.engine.begin() as connection:
        connection.exec_driver_sql("update ops.rate_limits set tokens = 2, refilled_at = now()")
    with pytest.raises(MisconfiguredError):
        road.extract_amazon_orders()
    for _ in range(4):
        if sound in landed(road) and store(road, "Acme US").amazon_problem is None:
            break
        road.pass_time(minutes=5)
        road.run_number += 1
        with pytest.raises(MisconfiguredError):
            road.extract_amazon_orders()
    assert landed(road) == [sound]
    assert store(road, "Acme US").amazon_problem is None
