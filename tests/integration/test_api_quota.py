"""reporting.api_quota: the requests that were sent, and what the token buckets still allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from include.adapters.amazon.rate_limits import RateLimiter
from include.adapters.api_calls import ApiCall, DatabaseCallRecorder
from include.database.engine import make_engine
from include.domain.errors import ThrottledError
from include.steps import purge_operational_history
from tests.support.road import Road

RATE, BURST = Decimal("0.01"), Decimal(2)
SEARCH = "searchOrders"


@pytest.fixture
def analyst(database_url: URL) -> Engine:
    return make_engine(database_url.set(username="analyst"), application_name="tests")


def call(engine: Engine, connection: str, *, hours_ago: float, status: int = 200, operation: str = SEARCH) -> None:
    system = "commerce" if connection.startswith("commerce") else "amazon"
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    DatabaseCallRecorder(engine)(ApiCall(system, connection, operation, status, status == 429, None, None, 5, at))


def bucket(engine: Engine, account: str = "acme-na", application: str = "one") -> RateLimiter:
    return RateLimiter(engine, application, account, "na", max_wait=timedelta(0))


def quota(analyst: Engine, operation: str = SEARCH, connection: str = "amazon_sp_api") -> Any:
    query = "select * from reporting.api_quota where operation = :operation and connection = :connection"
    with analyst.connect() as session:
        return session.execute(text(query), {"operation": operation, "connection": connection}).one()


def test_every_request_is_counted_once_when_the_path_has_run(road: Road, analyst: Engine) -> None:
    road.buy("902-0000001-0000001", {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    with analyst.connect() as session:
        rows = session.execute(text("select * from reporting.api_quota")).all()
    assert sum(row.last_day_call_count for row in rows) == road.value("select count(*) from ops.api_calls") > 5
    of_amazon = [row for row in rows if row.system_code == "amazon"]
    assert {row.account_name for row in of_amazon} >= {"acme-na"}
    assert None not in {row.account_name for row in of_amazon}, "each connection is that of an account"
    search = [row for row in of_amazon if row.operation == SEARCH and row.account_name == "acme-na"]
    assert [row.burst_count for row in search] == [20]
    assert {row.left_count for row in rows if row.system_code == "commerce"} == {None}


def test_hour_and_day_are_apart_when_requests_are_old_and_throttled(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    for hours, status in ((0.5, 200), (0.6, 429), (2, 200), (3, 429), (4, 503), (25, 200)):
        call(road.engine, "amazon_sp_api", hours_ago=hours, status=status)
    row = quota(analyst)
    assert (row.account_name, row.left_count) == ("acme-na", None)
    assert (row.last_hour_call_count, row.last_hour_throttled_count) == (2, 1)
    assert (row.last_day_call_count, row.last_day_throttled_count) == (5, 2)


def test_request_is_counted_when_the_purge_has_summed_it_up(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    for hours in (0.5, 5, 6):
        call(road.engine, "commerce_api", hours_ago=hours, operation="createOrder")
    with road.engine.begin() as connection:
        purge = purge_operational_history.load_statements(purge_operational_history.__file__)["api_calls"]
        before = datetime.now(UTC) - timedelta(hours=4)
        connection.execute(purge, {"before": before, "batch_size": 100})
    assert road.value("select count(*) from ops.api_calls where connection = 'commerce_api'") == 1
    row = quota(analyst, "createOrder", "commerce_api")
    assert (row.system_code, row.account_name) == ("commerce", None)
    assert (row.last_hour_call_count, row.last_day_call_count) == (1, 3)


def test_what_is_left_is_what_the_bucket_allows_when_requests_were_sent(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    limiter = bucket(road.engine)
    limiter.take(SEARCH, RATE, BURST)
    row = quota(analyst)
    assert (row.hourly_limit_count, row.burst_count, row.left_count, row.next_call_seconds) == (
        Decimal("32.4"),
        2,
        1,
        0,
    )
    assert 100 < row.full_seconds < 112, "one request at nine tenths of a hundredth per second"
    limiter.take(SEARCH, RATE, BURST)
    with pytest.raises(ThrottledError) as refused:
        limiter.take(SEARCH, RATE, BURST)
    row = quota(analyst)
    assert row.left_count == 0
    assert abs(float(row.next_call_seconds) - refused.value.retry_after.total_seconds()) < 5
    assert 100 < row.full_seconds - row.next_call_seconds < 112


def test_nothing_is_left_when_amazon_has_throttled(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    limiter = bucket(road.engine)
    limiter.take(SEARCH, RATE, BURST)
    limiter.block(SEARCH, timedelta(minutes=30))
    row = quota(analyst)
    assert row.left_count == 0 and row.blocked_until is not None
    assert 1700 < row.next_call_seconds <= 1800 and row.full_seconds == row.next_call_seconds


def test_account_has_one_row_when_its_application_has_changed(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    bucket(road.engine, application="old").block(SEARCH, timedelta(hours=1))
    bucket(road.engine, application="old").take(SEARCH, RATE, Decimal(9))
    bucket(road.engine, application="new").take(SEARCH, RATE, BURST)
    assert quota(analyst).burst_count == 2


def test_quota_is_shown_when_its_account_has_left_the_stores_file(road: Road, analyst: Engine) -> None:
    bucket(road.engine, "gone").take(SEARCH, RATE, BURST)
    with analyst.connect() as session:
        rows = session.execute(text("select account_name, connection, left_count from reporting.api_quota")).all()
    assert [tuple(row) for row in rows] == [("gone", None, 1)]


def test_only_the_last_day_is_read_when_many_requests_are_kept(admin_engine: Engine) -> None:
    with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        session.execute(
            text(
                "insert into ops.api_calls (system_code, connection, operation, status_code, duration_ms, called_at)"
                " select 'commerce', 'commerce_api', 'op', 200, 5, now() - number * interval '1 minute'"
                " from generate_series(1, 20000) as number"
            )
        )
        session.execute(text("vacuum analyze ops.api_calls"))
        (plan,) = session.execute(text("explain (format json) select * from reporting.api_quota")).scalar_one()
        shown = session.execute(text("select last_hour_call_count, last_day_call_count from reporting.api_quota")).one()

    def scans(node: dict[str, Any]) -> set[str]:
        own = {node["Node Type"]} if node.get("Relation Name") == "api_calls" else set()
        return own.union(*(scans(child) for child in node.get("Plans", [])))

    assert "Seq Scan" not in scans(plan["Plan"]) and scans(plan["Plan"])
    assert tuple(shown) == (59, 1439)
