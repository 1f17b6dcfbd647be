"""The daily purge: old rows go, their sums stay, and what the next window of Amazon's listing rests on is kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.database.statements import load_statements
from include.steps import purge_operational_history
from tests.support.orders import order_id
from tests.support.road import Road
from tests.support.step_process import StepProcess

pytestmark = pytest.mark.usefixtures("plain_rules")

CALLS = """
    insert into ops.api_calls (system_code, connection, operation, status_code, is_throttled, duration_ms, called_at)
    select
        'amazon', 'amazon_sp_api', (array['searchOrders', 'getOrder'])[1 + number % 2],
        (array[200, 429, 500, null])[1 + number % 4], number % 4 = 1, number,
        :now - interval '20 days' + number * interval '1 minute'
    from generate_series(1, :count) as numbers (number)
"""
# What the calls add up to, whether they are still there or only their sums.
TOTALS = """
    select
        system_code, connection, operation, status_class, hour_at, sum(calls) as calls, sum(throttled) as throttled,
        sum(total_ms) as total_ms, max(max_ms) as max_ms
    from (
        select
            system_code, connection, operation, coalesce(left(status_code::text, 1) || 'xx', 'none') as status_class,
            date_trunc('hour', called_at) as hour_at, 1 as calls, is_throttled::int as throttled,
            duration_ms as total_ms, duration_ms as max_ms
        from ops.api_calls
        union all
        select
            system_code, connection, operation, status_class, hour_at, call_count, throttled_count, total_duration_ms,
            max_duration_ms
        from ops.api_calls_hourly
    ) as everything
    group by 1, 2, 3, 4, 5
    order by 1, 2, 3, 4, 5
"""
RESULTS = """
    insert into ops.validation_results (
        dag_run_id, suite_sha256, rule_code, expectation_type, severity, validated_at
    )
    select 'run ' || number, 'suite', 'rule', 'type', 'info', :now - number * interval '1 day'
    from generate_series(1, :count) as numbers (number)
"""
WINDOWS = """
    insert into ops.ingest_windows (account_name, updated_from, updated_to, query, state, opened_at, dag_run_id)
    select 'other', :now - number * interval '1 day', :now - number * interval '1 day' + interval '1 day',
        '{"marketplaceIds": "M"}', 'landed', :now - number * interval '1 day', 'test'
    from generate_series(1, :count) as numbers (number)
"""


def write(road: Road, statement: str, **values: Any) -> None:
    with road.engine.begin() as connection:
        connection.execute(text(statement.replace("::", r"\:\:")), values)


def totals(road: Road) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in road.rows(TOTALS.replace("::", r"\:\:"))]


def count(road: Road, table: str) -> int:
    number: int = road.value(f"select count(*) from ops.{table}")
    return number


# Requests


def test_api_calls_become_sums_when_they_are_old(road: Road) -> None:
    write(road, CALLS, now=road.now(), count=20_000)  # from 20 days ago to 6 days ago
    before = totals(road)
    assert len(before) > 300
    counts = road.purge_operational_history()
    assert 8_600 < counts["api_calls"] < 8_700
    assert road.value("select min(called_at) from ops.api_calls") > road.now() - timedelta(days=14, minutes=1)
    assert count(road, "api_calls") == 20_000 - counts["api_calls"]
    assert totals(road) == before
    assert set(road.purge_operational_history().values()) <= {0, 1}  # a minute may have passed
    assert totals(road) == before


def test_sums_stay_right_when_api_calls_go_in_small_batches(road: Road) -> None:
    write(road, CALLS, now=road.now(), count=1_000)
    before = totals(road)
    counts = purge_operational_history.run(road.engine, road.settings, now=road.now(), batch_size=7)
    assert counts["api_calls"] == 1_000
    assert totals(road) == before
    assert count(road, "api_calls") == 0


def test_sums_stay_right_when_several_purges_run_at_once(road: Road) -> None:
    write(road, CALLS, now=road.now(), count=2_000)
    before = totals(road)

    def purge(_: int) -> int:
        counts = purge_operational_history.run(road.engine, road.settings, now=road.now(), batch_size=50)
        return counts["api_calls"]

    with ThreadPoolExecutor(4) as threads:
        deleted = list(threads.map(purge, range(4)))
    assert sum(deleted) == 2_000
    assert totals(road) == before


def test_sums_stay_right_when_an_hour_is_purged_in_two_runs(road: Road) -> None:
    write(road, CALLS, now=road.now(), count=100)
    before = totals(road)
    for minutes in (30, 60, 300):
        now = road.now() - timedelta(days=6) + timedelta(minutes=minutes)
        purge_operational_history.run(road.engine, road.settings, now=now)
        assert totals(road) == before
    assert count(road, "api_calls") == 0


@contextmanager
def locked(admin_engine: Engine, table: str) -> Iterator[None]:
    with admin_engine.begin() as connection:
        connection.execute(text(f"lock table {table} in access exclusive mode"))
        yield


@pytest.mark.parametrize("table", ["ops.api_calls_hourly", "ops.ingest_windows", "ops.validation_results"])
def test_everything_is_purged_by_the_next_run_when_killed_in_the_middle(
    road: Road, admin_engine: Engine, table: str
) -> None:
    for statement in (CALLS, RESULTS, WINDOWS):
        write(road, statement, now=road.now(), count=200)
    before = totals(road)
    process = StepProcess(road, "purge_operational_history")
    with locked(admin_engine, table):
        process.kill_when(process.is_waiting_for_a_lock)
    process.wait_until_forgotten()
    assert totals(road) == before
    road.purge_operational_history()
    assert totals(road) == before
    assert count(road, "api_calls") == 0
    assert count(road, "validation_results") == 89
    assert count(road, "ingest_windows") == 29


def test_hourly_sums_are_purged_too_when_they_are_old(road: Road) -> None:
    write(road, CALLS, now=road.now(), count=100)
    road.purge_operational_history()
    assert count(road, "api_calls_hourly") > 0
    now = road.now() + road.settings.api_calls_hourly_retention
    counts = purge_operational_history.run(road.engine, road.settings, now=now)
    assert counts["api_calls_hourly"] > 0
    assert count(road, "api_calls_hourly") == 0


def test_validation_results_are_kept_as_set_when_the_retention_is_changed(road: Road) -> None:
    write(road, RESULTS, now=road.now(), count=100)
    road.change_settings(validation_retention=timedelta(days=10))
    assert road.purge_operational_history()["validation_results"] == 91
    assert count(road, "validation_results") == 9


DAG_RUNS = """
    insert into ops.dag_runs (dag_id, dag_run_id, state, started_at, ended_at)
    select
        'dag ' || number % 2, 'run ' || number, case when number in (40, 43, 50) then 'success' else 'failed' end,
        :now - number * interval '1 day', :now - number * interval '1 day'
    from generate_series(:newest, 50) as numbers (number)
"""


@pytest.mark.parametrize(("newest", "kept"), [
    (1, [*range(1, 31), 40, 43]),
    (35, [35, 36, 40, 43]),
], ids=["runs go on", "nothing has run for long"])  # fmt: skip
def test_dag_runs_go_except_the_last_and_the_last_good_one_when_they_are_old(
    road: Road, newest: int, kept: list[int]
) -> None:
    write(road, DAG_RUNS, now=road.now() + timedelta(minutes=5), newest=newest)
    road.purge_operational_history()
    assert sorted(int(row[0].split()[1]) for row in road.rows("select dag_run_id from ops.dag_runs")) == kept


def test_last_good_run_stays_when_only_dry_runs_came_after_it(road: Road) -> None:
    write(road, DAG_RUNS, now=road.now(), newest=40)
    write(road, "update ops.dag_runs set is_dry_run = true where dag_run_id = 'run 40'")
    road.purge_operational_history()
    left = road.rows("select dag_run_id from ops.dag_runs order by dag_run_id")
    assert [row.dag_run_id for row in left] == ["run 41", "run 42", "run 43", "run 50"]


def test_bad_address_is_forgotten_when_nothing_is_to_be_created_for_its_order(road: Road) -> None:
    road.with_account("acme-na")
    for number in (1, 2):
        road.buy(order_id(number), {"NOT-IN-THE-CATALOG": 1})
    road.next_run()
    write(road, "insert into ops.bad_addresses select amazon_order_id, 'city is missing', :at from core.orders",
          at=road.now() - timedelta(days=100))  # fmt: skip
    write(road, "update core.orders set pipeline_state = 'canceled' where amazon_order_id = :id", id=order_id(1))
    assert road.purge_operational_history()["bad_addresses"] == 1
    assert [row.amazon_order_id for row in road.rows("select * from ops.bad_addresses")] == [order_id(2)]


# Windows


def age(road: Road, days: int = 60) -> None:
    write(road, "update ops.ingest_windows set opened_at = opened_at - :age", age=timedelta(days=days))


def test_next_window_is_the_same_when_all_before_were_purged(road: Road) -> None:
    road.with_account("acme-na")
    for number in range(1, 6):
        road.buy(order_id(number), {"TRAY-WALNUT": 1})
        road.next_run()
    age(road)
    watermark = road.value("select max(watermark) from ops.ingest_coverage")

    assert road.purge_operational_history()["ingest_windows"] > 0
    assert road.purge_operational_history()["ingest_windows"] == 0

    assert road.value("select max(watermark) from ops.ingest_coverage") == watermark
    road.buy(order_id(9), {"TRAY-WALNUT": 1})
    road.next_run()
    newest = road.rows("select * from ops.ingest_windows where kind = 'live' order by ingest_window_id desc limit 1")[0]
    assert newest.updated_from == watermark - road.settings.window_overlap
    assert road.shown(order_id(9)).status == "Unshipped"


def test_windows_stay_when_they_are_open_or_not_staged(road: Road) -> None:
    road.with_account("acme-na")
    road.buy(order_id(1), {"TRAY-WALNUT": 1})
    for _ in range(3):
        road.pass_time(minutes=10)
        road.stage_stores()
        road.extract_amazon_orders()
    write(
        road,
        "insert into ops.ingest_windows"
        " (account_name, kind, marketplace_ids, updated_from, updated_to, query, state, opened_at, dag_run_id)"
        " values ('acme-na', 'history', '{}', now(), now(), '{}', 'open', now(), 'test')",
    )
    age(road)
    windows, pages = count(road, "ingest_windows"), count(road, "ingest_pages")
    assert road.purge_operational_history()["ingest_windows"] == 0
    assert (count(road, "ingest_windows"), count(road, "ingest_pages")) == (windows, pages)
    road.stage_amazon_orders()
    assert road.value("select count(*) from core.orders") == 1
    assert road.purge_operational_history()["ingest_windows"] > 0
    assert road.value("select count(*) from ops.ingest_windows where state = 'open'") == 1


def test_orders_are_untouched_when_their_window_was_purged(road: Road) -> None:
    road.with_account("acme-na")
    road.buy(order_id(1), {"TRAY-WALNUT": 1})
    for _ in range(3):
        road.next_run()
    before = {name: rows for name, rows in road.dump().items() if not name.startswith("ops.")}
    age(road)
    assert road.purge_operational_history()["ingest_windows"] > 0
    assert {name: rows for name, rows in road.dump().items() if not name.startswith("ops.")} == before


# Cost


def test_statements_read_by_index_when_the_tables_are_full(road: Road, admin_engine: Engine) -> None:
    write(road, CALLS, now=road.now(), count=50_000)
    write(road, RESULTS, now=road.now(), count=20_000)
    write(road, WINDOWS, now=road.now(), count=20_000)
    with admin_engine.connect() as connection:
        connection.execute(text("analyze ops.api_calls, ops.validation_results, ops.ingest_windows, ops.ingest_pages"))
        connection.commit()
    statements = load_statements(purge_operational_history.__file__)
    retentions = {"api_calls": 19, "validation_results": 19_990, "ingest_windows": 19_990}
    with road.engine.connect() as connection:
        for table, days in retentions.items():
            values = {"before": road.now() - timedelta(days=days), "batch_size": 100}
            plan = "\n".join(connection.execute(text(f"explain {statements[table].text}"), values).scalars())
            assert f"Seq Scan on {table}" not in plan, plan
