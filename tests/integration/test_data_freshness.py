"""What the tasks report of their runs, what reporting.data_freshness makes of it, and what the page says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.outbox.dag_runs import DagRunReport, TaskInstance
from tests.support.recent_orders_answers import MakeClient, text_of
from tests.support.recent_orders_rows import order_row, write_orders
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDERS, SHIPMENTS, REPORTING = "amazon_orders_to_commerce", "commerce_shipments_to_amazon", "orders_to_reporting"
TASK_TIMEOUT = timedelta(minutes=30)
PERIOD = timedelta(minutes=5)
EXTRACT_EU = TaskInstance("extract_amazon_orders_1", "extract_amazon_orders", "acme-eu")
STAGE_STORES = TaskInstance("stage_stores", "stage_stores", None)
FIRST = TaskInstance("first", "first", None)
REFUSED = "amazon token for account acme-eu: refused. Resolution: set client_secret."


def now() -> datetime:
    return datetime.now(UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def begin(engine: Engine, dag_id: str, run_id: str, at: datetime, every: timedelta | None = PERIOD) -> DagRunReport:
    """The first task of a run has begun at a moment; the next run is due `every` later."""
    report = DagRunReport(engine, dag_id, run_id, at + every if every else None)
    report.begin_task(FIRST, at, TASK_TIMEOUT)
    report.end_task(FIRST, at, reason=None, pause=timedelta(0))
    return report


def fail(report: DagRunReport, task: TaskInstance, reason: str) -> None:
    """A task has failed at once."""
    report.begin_task(task, now(), TASK_TIMEOUT)
    report.end_task(task, now(), reason=reason, pause=timedelta(0))


def succeed(engine: Engine, dag_id: str, run_id: str, at: datetime, every: timedelta | None = PERIOD) -> None:
    begin(engine, dag_id, run_id, at, every).end(at + minutes(1), is_success=True)


def freshness(engine: Engine, **where: Any) -> list[Any]:
    """Rows of the view."""
    clause = " and ".join(f"{name} = :{name}" for name in where) or "true"
    with engine.connect() as connection:
        statement = f"select * from reporting.data_freshness where {clause} order by stream, store_name"
        return list(connection.execute(text(statement), where))


def of_dag(engine: Engine, dag_id: str) -> Any:
    """What all rows of a DAG say of it."""
    rows = freshness(engine, dag_id=dag_id)
    facts = {tuple(row)[8:] for row in rows}
    assert len(facts) == 1, "rows of one DAG differ in what they say of it"
    return rows[0]


def failures(engine: Engine, run_id: str) -> dict[str, Any]:
    with engine.connect() as connection:
        found: dict[str, Any] = connection.execute(
            text("select failures from ops.dag_runs where dag_run_id = :id"), {"id": run_id}
        ).scalar_one()
    return found


def everything_fine(engine: Engine) -> None:
    """All three DAGs have just run."""
    for number, dag_id in enumerate((ORDERS, SHIPMENTS, REPORTING)):
        every = None if dag_id == REPORTING else minutes(10)
        succeed(engine, dag_id, f"fine-{dag_id}", now() - minutes(4 - number), every)


# What the tasks report


def test_run_is_running_when_its_first_task_begins_and_over_when_its_last_ends(engine: Engine) -> None:
    at = now() - minutes(2)
    report = begin(engine, ORDERS, "run", at)
    row = of_dag(engine, ORDERS)
    assert (row.running_since, row.last_run_state, row.last_success_at) == (at, None, None)
    report.end(at + minutes(1), is_success=True)
    row = of_dag(engine, ORDERS)
    assert (row.running_since, row.last_run_state, row.last_success_at) == (None, "success", at + minutes(1))
    assert (row.next_run_at, row.is_overdue) == (at + minutes(5), False)


@pytest.mark.parametrize("ends_well", [True, False])
def test_dry_run_counts_for_nothing_when_it_is_over(engine: Engine, ends_well: bool) -> None:
    everything_fine(engine)
    before = of_dag(engine, ORDERS)
    rehearsal = DagRunReport(engine, ORDERS, "dry", now() + minutes(5), is_dry_run=True)
    fail(rehearsal, EXTRACT_EU, REFUSED)
    assert of_dag(engine, ORDERS) == before
    rehearsal.end(now(), is_success=ends_well)
    assert of_dag(engine, ORDERS) == before


def test_sync_is_not_overdue_when_a_dry_run_keeps_it_waiting(engine: Engine) -> None:
    succeed(engine, ORDERS, "fine", now() - minutes(15))
    assert of_dag(engine, ORDERS).is_overdue
    rehearsal = DagRunReport(engine, ORDERS, "dry", None, is_dry_run=True)
    rehearsal.begin_task(FIRST, now(), TASK_TIMEOUT)
    assert not of_dag(engine, ORDERS).is_overdue
    rehearsal.end(now(), is_success=True)
    assert of_dag(engine, ORDERS).is_overdue


def test_run_goes_on_when_a_task_of_it_is_cleared(engine: Engine) -> None:
    at = now() - minutes(2)
    report = begin(engine, ORDERS, "run", at)
    fail(report, EXTRACT_EU, REFUSED)
    report.end(at + minutes(1), is_success=False)
    assert of_dag(engine, ORDERS).last_run_state == "failed"
    report.begin_task(FIRST, now(), TASK_TIMEOUT)
    assert of_dag(engine, ORDERS).running_since == at
    report.settle({"extract_amazon_orders_1": "success"})
    report.end(now(), is_success=True)
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.last_run_reason, failures(engine, "run")) == ("success", None, {})


def test_failure_is_dropped_when_the_task_succeeds_in_the_end(engine: Engine) -> None:
    report = begin(engine, ORDERS, "run", now())
    fail(report, EXTRACT_EU, "the server was not reached. Resolution: none.")
    fail(report, STAGE_STORES, "wrong. Resolution: mend it.")
    fail(report, STAGE_STORES, "wrong again. Resolution: mend it.")
    states = {"extract_amazon_orders_1": "success", "stage_stores": "failed", "run_complete": "running"}
    assert report.settle(states) == {"stage_stores": "wrong again. Resolution: mend it."}
    assert list(failures(engine, "run")) == ["stage_stores"]


def test_killed_task_is_named_when_it_could_not_say_why(engine: Engine) -> None:
    report = begin(engine, ORDERS, "run", now())
    (reason,) = report.settle({"validate_orders": "failed", "create_commerce_orders": "upstream_failed"}).items()
    assert reason[0] == "validate_orders"
    assert "its process was killed" in reason[1]
    assert "Resolution: " in reason[1]


def test_reason_is_cut_when_it_is_endless(engine: Engine) -> None:
    fail(begin(engine, ORDERS, "run", now()), STAGE_STORES, "x" * 100_000)
    assert len(failures(engine, "run")["stage_stores"]["reason"]) == 2000


# What the view makes of it


def test_view_has_a_row_per_store_shop_and_table_when_stores_are_connected(road: Road) -> None:
    road.stage_stores()
    rows = freshness(road.engine)
    stores = {store.name for account in road.stores.accounts for store in account.stores}
    assert stores
    assert {row.store_name for row in rows if row.stream == "amazon_orders"} == stores
    assert [row.commerce_connection for row in rows if row.stream == "commerce_shipments"] == ["commerce_api"]
    assert len([row for row in rows if row.stream == "recent_orders"]) == 1
    assert {(row.last_run_state, row.is_overdue, row.watermark) for row in rows} == {(None, False, None)}


def test_view_has_a_row_per_dag_when_there_is_no_store_yet(engine: Engine) -> None:
    fail(begin(engine, ORDERS, "first", now() - minutes(2)), STAGE_STORES, "wrong. Resolution: mend it.")
    DagRunReport(engine, ORDERS, "first", now() + minutes(3)).end(now(), is_success=False)
    rows = {row.dag_id: row for row in freshness(engine)}
    assert set(rows) == {ORDERS, SHIPMENTS, REPORTING}
    assert (rows[ORDERS].last_run_state, rows[ORDERS].last_run_reason) == (
        "failed",
        "stage_stores: wrong. Resolution: mend it.",
    )


def test_stores_lag_when_one_account_cannot_be_read(road: Road) -> None:
    road.stage_stores()
    road.extract_amazon_orders("acme-na")
    report = begin(road.engine, ORDERS, "run", now() - minutes(2))
    fail(report, EXTRACT_EU, REFUSED)
    report.end(now(), is_success=False)
    rows = {row.store_name: row for row in freshness(road.engine, stream="amazon_orders")}
    sound, broken = rows["Acme US"], rows["Acme UK"]
    assert (sound.problem, broken.problem) == (None, REFUSED)
    assert minutes(2) < sound.lag < minutes(10)
    assert (broken.watermark, broken.lag) == (None, None)
    with road.engine.begin() as connection:  # Amazon's clock is ahead of ours
        connection.execute(text("update ops.ingest_coverage set watermark = now() + interval '1 minute'"))
    assert {row.lag for row in freshness(road.engine, account_name="acme-na")} == {timedelta(0)}
    assert {row.last_run_reason for row in rows.values()} == {f"extract_amazon_orders (acme-eu): {REFUSED}"}


def test_last_failure_stays_when_the_next_run_is_at_work(engine: Engine) -> None:
    succeed(engine, ORDERS, "1", now() - minutes(12))
    failed = begin(engine, ORDERS, "2", now() - minutes(7))
    fail(failed, STAGE_STORES, "wrong. Resolution: mend it.")
    failed.end(now() - minutes(6), is_success=False)
    begun = begin(engine, ORDERS, "3", now() - minutes(1))
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.running_since is not None, row.is_overdue) == ("failed", True, False)
    assert row.last_success_at < row.last_run_started_at
    begun.end(now(), is_success=True)
    assert of_dag(engine, ORDERS).last_run_state == "success"


def test_runs_are_overdue_when_nothing_starts_the_next_one(engine: Engine) -> None:
    succeed(engine, ORDERS, "run", now() - minutes(9.5))
    assert of_dag(engine, ORDERS).is_overdue is False
    succeed(engine, SHIPMENTS, "run", now() - minutes(10.5))
    assert of_dag(engine, SHIPMENTS).is_overdue is True


def test_run_is_lost_when_a_task_of_it_takes_longer_than_it_may(engine: Engine) -> None:
    report = begin(engine, ORDERS, "killed", now() - TASK_TIMEOUT - minutes(7))
    report.begin_task(EXTRACT_EU, now() - TASK_TIMEOUT - minutes(6), TASK_TIMEOUT)
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.running_since, row.is_overdue) == ("lost", None, True)
    assert "Resolution: " in row.last_run_reason


@pytest.mark.parametrize(("pause", "state"), [(minutes(0), "lost"), (minutes(2), None)])
def test_run_is_lost_when_no_task_follows(engine: Engine, pause: timedelta, state: str | None) -> None:
    report = begin(engine, ORDERS, "stopped", now() - minutes(7))
    report.begin_task(EXTRACT_EU, now() - minutes(7), TASK_TIMEOUT)
    assert of_dag(engine, ORDERS).running_since is not None, "a task may take long"
    report.end_task(EXTRACT_EU, now() - minutes(6), reason=REFUSED, pause=pause)
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.is_overdue) == (state, state == "lost")
    report.begin_task(FIRST, now(), TASK_TIMEOUT)
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.is_overdue) == (None, False)


def test_run_is_at_work_when_one_of_two_tasks_has_ended(engine: Engine) -> None:
    report = begin(engine, ORDERS, "run", now() - minutes(20))
    for task in (EXTRACT_EU, STAGE_STORES):
        report.begin_task(task, now() - minutes(19), TASK_TIMEOUT)
    report.end_task(STAGE_STORES, now() - minutes(18), reason=None, pause=timedelta(0))
    assert of_dag(engine, ORDERS).running_since is not None
    report.end_task(EXTRACT_EU, now() - minutes(17), reason=None, pause=timedelta(0))
    assert of_dag(engine, ORDERS).running_since is None


def test_run_is_lost_when_a_newer_one_has_begun(engine: Engine) -> None:
    begin(engine, ORDERS, "killed", now() - minutes(10))
    begin(engine, ORDERS, "newer", now() - minutes(1))
    row = of_dag(engine, ORDERS)
    assert (row.last_run_state, row.running_since is not None, row.is_overdue) == ("lost", True, False)


@pytest.mark.parametrize(("begun", "is_overdue"), [(minutes(19), False), (minutes(21), True), (None, True)])
def test_publishing_is_overdue_when_orders_were_synced_and_it_has_not_begun_since(
    engine: Engine, begun: timedelta | None, is_overdue: bool
) -> None:
    succeed(engine, ORDERS, "run", now() - minutes(20), timedelta(days=1))
    if begun:
        succeed(engine, REPORTING, "run", now() - begun, None)
    row = of_dag(engine, REPORTING)
    assert (row.is_overdue, row.next_run_at) == (is_overdue, None)


# What the page says of itself


def shown(make_client: MakeClient) -> str:
    answer = make_client().get("/")
    assert answer.status_code == 200
    return text_of(answer.text)


def test_header_says_when_orders_were_synced_when_all_is_well(engine: Engine, make_client: MakeClient) -> None:
    everything_fine(engine)
    write_orders(engine, order_row("114-1"))
    page = shown(make_client)
    assert "Last successful sync " in page
    assert "3 minutes ago Last run Succeeded at " in page
    assert "Next run " in page
    assert "What to do" not in page
    assert "Overdue" not in page


def test_header_says_that_nothing_has_run_when_the_project_is_new(make_client: MakeClient) -> None:
    page = shown(make_client)
    assert "Last successful sync None yet Last run None yet Next run Unknown" in page
    assert "No orders yet" in page


def test_page_says_why_when_the_last_sync_failed(engine: Engine, make_client: MakeClient) -> None:
    everything_fine(engine)
    report = begin(engine, ORDERS, "failed", now() - minutes(1))
    fail(report, EXTRACT_EU, REFUSED + " <b>")
    report.end(now(), is_success=False)
    page = shown(make_client)
    assert "Last run Failed at " in page
    assert "The last order sync failed on " in page
    assert f"extract_amazon_orders (acme-eu): {REFUSED} <b>" in page
    assert "<b>" not in make_client().get("/").text


def test_page_says_that_it_is_dead_when_no_run_begins(engine: Engine, make_client: MakeClient) -> None:
    write_orders(engine, order_row("114-1"))
    succeed(engine, ORDERS, "long ago", now() - timedelta(days=3, hours=1))
    page = shown(make_client)
    assert "3 days ago" in page
    assert "Next run Overdue since " in page
    assert "The order sync is not running: a run was due on " in page
    assert "may be out of date" in page
    assert f"the DAG {ORDERS} is not paused" in page


def test_page_says_what_else_is_broken_when_only_shipments_or_the_table_are(
    engine: Engine, make_client: MakeClient
) -> None:
    everything_fine(engine)
    report = begin(engine, SHIPMENTS, "failed", now())
    fail(report, TaskInstance("extract_commerce_shipments", "extract_commerce_shipments", None), REFUSED)
    report.end(now(), is_success=False)
    page = shown(make_client)
    assert "Last run Succeeded" in page
    assert "The last shipment sync failed" in page
    with engine.begin() as connection:
        connection.execute(text("delete from ops.dag_runs where dag_id = :id"), {"id": REPORTING})
        connection.execute(text("update ops.dag_runs set ended_at = now() - interval '11 minutes'"))
    assert "The update of this table is not running: orders were synced" in shown(make_client)


def test_page_says_that_a_run_is_at_work_or_was_stopped(engine: Engine, make_client: MakeClient) -> None:
    begin(engine, ORDERS, "killed", now() - minutes(6))
    begin(engine, ORDERS, "newer", now() - minutes(1))
    page = shown(make_client)
    assert "Next run Running now since " in page
    assert "Last run Did not finish" in page
    assert "The order sync that started on " in page
    with engine.begin() as connection:
        connection.execute(text("update ops.dag_runs set overdue_at = now() - interval '1 second'"))
    page = shown(make_client)
    assert "gives no sign of life" in page
    assert "Overdue" in page
