"""reporting.sync_health: how each DAG does, as a whole and for each account, told from the reports of its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from include.database.engine import make_engine
from include.outbox.dag_runs import DagRunReport, TaskInstance
from tests.support.road import Road

ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
TIMEOUT = timedelta(minutes=30)
STAGE = TaskInstance("stage_stores", "stage_stores", None)
REFUSED = "amazon token: refused. Resolution: set client_secret."


@pytest.fixture
def analyst(database_url: URL) -> Engine:
    return make_engine(database_url.set(username="analyst"), application_name="tests")


def extract(account: str) -> TaskInstance:
    return TaskInstance(f"extract_amazon_orders {account}", "extract_amazon_orders", account)


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def run(
    engine: Engine,
    dag_id: str,
    at: datetime,
    failed: TaskInstance | None = None,
    *,
    ends: bool = True,
    is_dry_run: bool = False,
) -> None:
    """A run that began at a moment and took a minute, in which a task failed, or that ended without a report."""
    report = DagRunReport(engine, dag_id, at.isoformat(), None, is_dry_run=is_dry_run)
    task = failed or STAGE
    report.begin_task(task, at, TIMEOUT)
    if not ends:
        return
    report.end_task(task, at, reason=REFUSED if failed else None, pause=timedelta(0))
    report.end(at + timedelta(minutes=1), is_success=not failed)


def health(analyst: Engine) -> dict[tuple[str, str | None], Any]:
    with analyst.connect() as connection:
        rows = connection.execute(text("select * from reporting.sync_health")).all()
    found = {(row.dag_id, row.account_name): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_only_the_account_is_failing_when_its_task_fails(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    run(road.engine, ORDERS, first := ago(30))
    run(road.engine, ORDERS, ago(20), extract("acme-eu"))
    run(road.engine, ORDERS, last := ago(10), extract("acme-eu"))
    found = health(analyst)
    minute = timedelta(minutes=1)
    us, eu, whole = (found[ORDERS, account] for account in ("acme-na", "acme-eu", None))
    assert (us.status_code, us.last_success_at, us.failed_run_count) == ("ok", last + minute, 0)
    assert (us.last_failure_at, us.last_failure_reason) == (None, None)
    for failing in (eu, whole):
        assert (failing.status_code, failing.failed_run_count) == ("failing", 2)
        assert (failing.last_success_at, failing.last_failure_at) == (first + minute, last + minute)
        assert failing.last_failure_reason == f"extract_amazon_orders (acme-eu): {REFUSED}"
    assert (found[SHIPMENTS, "acme-eu"].status_code, found[SHIPMENTS, "acme-eu"].last_success_at) == ("never_ran", None)


def test_every_account_is_failing_when_a_task_for_all_fails(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    run(road.engine, ORDERS, ago(10), STAGE)
    found = health(analyst)
    of_orders = [row for (dag_id, _), row in found.items() if dag_id == ORDERS]
    assert len(of_orders) > 2
    assert {row.status_code for row in of_orders} == {"failing"}
    assert {row.last_failure_reason for row in of_orders} == {f"stage_stores: {REFUSED}"}


def test_account_is_ok_again_when_a_later_run_serves_it(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    run(road.engine, ORDERS, ago(20), extract("acme-na"))
    run(road.engine, ORDERS, ago(10))
    row = health(analyst)[ORDERS, "acme-na"]
    assert (row.status_code, row.failed_run_count) == ("ok", 0)
    assert row.last_failure_reason == f"extract_amazon_orders (acme-na): {REFUSED}", "it is still told"


def test_run_counts_as_failed_when_it_was_killed_and_another_has_begun(road: Road, analyst: Engine) -> None:
    road.stage_stores()
    run(road.engine, ORDERS, killed := ago(20), ends=False)
    assert health(analyst)[ORDERS, None].status_code == "never_ran", "it is at work"
    run(road.engine, ORDERS, ago(10), ends=False)
    row = health(analyst)[ORDERS, "acme-na"]
    assert (row.status_code, row.last_failure_at, row.failed_run_count) == ("failing", killed, 1)
    assert row.last_failure_reason.startswith("It ended without a report")


def test_dry_run_counts_for_nothing_when_it_fails(road: Road, analyst: Engine) -> None:
    run(road.engine, REPORTING, ago(20))
    run(road.engine, REPORTING, ago(10), STAGE, is_dry_run=True)
    row = health(analyst)[REPORTING, None]
    assert (row.status_code, row.last_failure_at, row.lag) == ("ok", None, None)


def test_lag_is_that_of_the_store_that_is_furthest_behind_when_an_account_has_several(
    road: Road, analyst: Engine
) -> None:
    road.stage_stores()
    run(road.engine, ORDERS, ago(10))
    assert health(analyst)[ORDERS, "acme-eu"].lag is None, "nothing has been read yet"
    marketplaces = road.rows("select account_name, marketplace_id from core.stores where account_name = 'acme-eu'")
    assert len(marketplaces) > 1
    with road.engine.begin() as connection:
        for number, (account, marketplace) in enumerate(marketplaces):
            connection.execute(
                text(
                    "insert into ops.ingest_coverage (account_name, marketplace_id, covered, watermark, dag_run_id)"
                    " values (:account, :marketplace, '{}', :watermark, '')"
                ),
                {"account": account, "marketplace": marketplace, "watermark": ago(60 + number)},
            )
    furthest = timedelta(minutes=60 + len(marketplaces) - 1)
    row = health(analyst)[ORDERS, "acme-eu"]
    assert furthest <= row.lag < furthest + timedelta(minutes=1)
    assert health(analyst)[ORDERS, None].lag is None, "another account has not been read"
