"""What a task's resources report of its run by themselves: that it begins, why it fails, and that it is over."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError, ThrottledError, UnavailableError, explain
from include.settings import Settings
from tests.support.airflow_dags import in_task, resources

pytestmark = pytest.mark.usefixtures("plain_rules")

SETTINGS = Settings(task_timeout=timedelta(minutes=30))


@pytest.fixture(autouse=True)
def orders_db(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection orders_db leads to the test's database."""
    connect(monkeypatch, engine.url)


def connect(monkeypatch: pytest.MonkeyPatch, url: URL) -> None:
    fields = {"host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_DB", json.dumps({"conn_type": "postgres"} | fields))


def fail(error: BaseException, **task: Any) -> None:
    with in_task(**task), pytest.raises(type(error)) as raised, resources.Resources(SETTINGS):
        raise error
    assert raised.value is error, "the task fails with its own error"


def drop_reports(admin_engine: Engine) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text("drop table ops.dag_runs cascade"))


def reported(engine: Engine) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("select * from ops.dag_runs")).one()


def test_run_is_reported_as_a_dry_run_when_its_params_say_so(engine: Engine) -> None:
    with in_task("publish", dry_run=True), resources.Resources(SETTINGS):
        pass
    assert (reported(engine).state, reported(engine).is_dry_run) == ("success", True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"dryrun": True},
            "The DAG test has no param dryrun. Nothing was done. Resolution: .* accounts, dry_run only.",
        ),
        ({"accounts": ["acme-xx"]}, "The param accounts names acme-xx, .* Nothing was done. Resolution: use acme-eu"),
    ],
)
def test_task_does_nothing_when_the_params_of_its_run_are_wrong(engine: Engine, params: Any, message: str) -> None:
    """The run counts as little for how current the data is as a rehearsal."""
    with in_task("publish", **params), pytest.raises(MisconfiguredError, match=message), resources.Resources(SETTINGS):
        raise AssertionError("the task has begun its work")
    assert (reported(engine).state, reported(engine).is_dry_run) == ("failed", True)


def test_run_is_over_when_its_only_task_has_succeeded(engine: Engine) -> None:
    began = datetime.now(UTC)
    with in_task("publish", schedule="*/5 * * * *"), resources.Resources(SETTINGS):
        row = reported(engine)
        assert (row.dag_id, row.dag_run_id, row.state, row.ended_at) == ("test", "run", "running", None)
        assert list(row.at_work) == ["publish"]
        assert timedelta(minutes=35) <= row.overdue_at - began < timedelta(minutes=36)
    row = reported(engine)
    assert (row.state, row.failures) == ("success", {})
    assert row.next_run_at.minute % 5 == 0
    assert began < row.next_run_at <= datetime.now(UTC) + timedelta(minutes=5)
    assert row.overdue_at == row.next_run_at + timedelta(minutes=5)


def test_nobody_knows_when_the_next_run_is_due_when_there_is_no_schedule(engine: Engine) -> None:
    with in_task("publish"), resources.Resources(SETTINGS):
        pass
    row = reported(engine)
    assert (row.state, row.next_run_at, row.overdue_at) == ("success", None, None)


def test_run_goes_on_when_another_task_is_its_last(engine: Engine) -> None:
    with in_task("extract", last="run_complete"), resources.Resources(SETTINGS):
        pass
    soon = datetime.now(UTC) + timedelta(minutes=6)
    assert (reported(engine).state, reported(engine).at_work, reported(engine).overdue_at < soon) == (
        "running",
        {},
        True,
    )
    fail(UnavailableError("away"), task_id="extract", last="run_complete")
    # 30 seconds, doubled at each of three retries; and five minutes.
    assert reported(engine).overdue_at > datetime.now(UTC) + timedelta(minutes=8, seconds=45)
    fail(ThrottledError("busy", timedelta(hours=1)), task_id="extract", last="run_complete")
    assert reported(engine).overdue_at > datetime.now(UTC) + timedelta(hours=1)
    assert reported(engine).state == "running"


def test_reason_has_task_and_account_when_one_account_fails(engine: Engine) -> None:
    error = MisconfiguredError("The secret\nis wrong. Resolution: set it.")
    fail(error, task_id="extract", account_name="acme-eu", map_index=3, last="run_complete")
    assert reported(engine).failures == {
        "extract_3": {
            "task_id": "extract",
            "account_name": "acme-eu",
            "reason": "The secret is wrong. Resolution: set it.",
        }
    }


def test_run_has_failed_when_its_only_task_has(engine: Engine) -> None:
    fail(UnavailableError("The server is away"), task_id="publish")
    row = reported(engine)
    assert row.state == "failed"
    assert row.failures["publish"]["reason"].startswith("The server is away. Resolution: none needed yet")


@pytest.mark.parametrize(
    "error", [ValueError("of Jane Doe"), KeyboardInterrupt("Jane Doe"), KeyError("Jane Doe")], ids=repr
)
def test_reason_is_without_the_text_when_nobody_foresaw_the_error(engine: Engine, error: BaseException) -> None:
    fail(error, task_id="publish")
    reason = reported(engine).failures["publish"]["reason"]
    assert type(error).__name__ in reason
    assert "Resolution: " in reason
    assert "Jane" not in reason


def test_task_fails_with_its_own_error_when_that_cannot_be_reported(
    engine: Engine, admin_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    error = MisconfiguredError("wrong")
    caplog.set_level(logging.WARNING)
    with in_task("publish"), pytest.raises(MisconfiguredError) as raised, resources.Resources(SETTINGS):
        drop_reports(admin_engine)
        raise error
    assert raised.value is error
    assert "The failure could not be reported" in caplog.text


def test_task_does_its_work_when_the_database_is_away_or_unknown(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The DAG check_setup is to say so."""
    connect(monkeypatch, engine.url.update_query_dict({"host": "/nowhere"}))
    fail(MisconfiguredError("found by the task"), task_id="check")
    assert "The start of the task could not be reported: The orders database cannot be reached: " in caplog.text
    monkeypatch.delenv("AIRFLOW_CONN_ORDERS_DB")
    fail(MisconfiguredError("found by the task"), task_id="check")
    assert "could not be reported: There is no Airflow connection 'orders_db'" in caplog.text


def test_task_fails_when_its_success_cannot_be_reported(engine: Engine, admin_engine: Engine) -> None:
    with in_task("publish"), pytest.raises(ProgrammingError, match="dag_runs"), resources.Resources(SETTINGS):
        drop_reports(admin_engine)


def test_nothing_is_reported_when_resources_are_used_in_a_shell(engine: Engine) -> None:
    with resources.Resources(SETTINGS) as use, use.engine.connect() as connection:
        assert connection.execute(text("select count(*) from ops.dag_runs")).scalar_one() == 0
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from ops.dag_runs")).scalar_one() == 0


def test_unreachable_database_is_one_line_when_a_task_needs_it() -> None:
    nowhere = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/orders", application_name="tests")
    with pytest.raises(OperationalError) as raised:
        nowhere.connect()
    reason = explain(raised.value)
    assert reason is not None
    assert reason.startswith("The orders database cannot be reached: ")
    assert "Resolution: check that PostgreSQL runs" in reason
    assert "\n" not in reason
    assert explain(ValueError("a defect")) is None
