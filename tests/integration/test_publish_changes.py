"""publish_recent_orders writes what changed, all of it and nothing else: queue, triggers, races, deaths, bad rows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from bench.history import fill_history, order_id
from include.database.migrate import migrate
from include.database.statements import load_statements
from include.database.tables import metadata
from include.database.tables.facts import FACTS
from include.domain.errors import RunIncompleteError
from include.steps import publish_recent_orders as step
from tests.support.orders import order_id as bought_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

_numbers = itertools.count(1)
STATEMENTS = load_statements(step.__file__)
QUEUE_ALL = "insert into ops.orders_to_publish (amazon_order_id) select amazon_order_id from core.orders"
PUBLISHED = re.compile(r"\b(?:from|join)\s+((?:core|ops|raw|pii)\.\w+)")
# What a row of Recent Orders is made from; a query that reads another table needs triggers there.
# The view ops.held_orders is made from three of them; what else it reads changes together with ops.write_holds.
SOURCES = sorted(set(PUBLISHED.findall(STATEMENTS["publish"].text)) - {"ops.held_orders"})


def publish(engine: Engine) -> dict[str, int]:
    return step.run(engine, now=datetime.now(UTC), dag_run_id="test")


def write(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def read(engine: Engine, statement: str, **values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement), values))


def queued(engine: Engine) -> list[str]:
    return [row[0] for row in read(engine, "select amazon_order_id from ops.orders_to_publish order by queue_id")]


def rows_out_of_date(engine: Engine) -> int:
    """How many rows of Recent Orders and of the analysts' facts are out of date, found by publishing every order."""
    write(engine, QUEUE_ALL)
    run_id = f"check {next(_numbers)}"
    written = step.run(engine, now=datetime.now(UTC), dag_run_id=run_id)["written"]
    counts = (f"select count(*) from {table.fullname} where dag_run_id = :run_id" for table in FACTS)
    return int(written + sum(read(engine, count, run_id=run_id)[0][0] for count in counts))


@contextmanager
def at_statement(engine: Engine, beginning: str, act: Callable[[], None]) -> Iterator[None]:
    """Do `act` right after the publisher has run the first statement that begins like this."""
    done = []

    def after(*arguments: Any) -> None:
        if not done and arguments[2].lstrip("-").strip().find(beginning) >= 0:
            done.append(True)
            act()

    event.listen(engine, "after_cursor_execute", after)
    yield
    event.remove(engine, "after_cursor_execute", after)
    assert done, f"no statement like {beginning}"


@pytest.fixture
def history(engine: Engine, admin_engine: Engine) -> Engine:
    """A database with 240 published orders of every kind, as the DAGs' role."""
    fill_history(admin_engine, finished=80, open_=160)
    assert queued(engine) == []
    assert rows_out_of_date(engine) > 200, "the history has rows of Recent Orders, and no facts of what is finished"
    assert rows_out_of_date(engine) == 0
    assert len(read(engine, "select distinct pipeline_state from reporting.recent_orders")) >= 6
    return engine


# Triggers


def test_table_has_its_triggers_when_the_query_reads_it(admin_engine: Engine) -> None:
    assert len(SOURCES) == 11
    events = {"insert": 4, "delete": 8, "update": 16}
    found = read(
        admin_engine,
        "select tgrelid::regclass::text, tgtype from pg_trigger"
        " where tgname like 'queue\\_orders\\_on\\_%' and tgenabled = 'O' and tgtype & 1 = 0",
    )
    known = {(table, name) for table, kind in found for name, bit in events.items() if kind & bit}
    wanted = {(table, name) for table in SOURCES for name in events} - {
        ("core.stores", "insert"),  # a new store has no orders
        ("core.stores", "delete"),  # one with orders cannot be deleted
    }
    assert known == wanted


# A column's new value, where that of `changed_value` would break a constraint.
VALUES = {
    ("core.orders", "pipeline_state"): "case when pipeline_state = 'ready' then 'blocked' else 'ready' end",
    ("core.orders", "store_name"): "(select min(store_name) from core.stores)",
    (
        "ops.order_outbox",
        "state",
    ): "case state when 'created' then 'adopted' when 'planned' then 'canceled' else state end",
    ("ops.order_outbox", "commerce_order_id"): "commerce_order_id || '-9'",
    ("ops.order_change_outbox", "state"): "case when state = 'done' then 'skipped' else 'done' end",
    ("ops.shipment_outbox", "state"): "case when state = 'accepted' then 'rejected' else 'skipped' end",
}


def changed_value(table: str, name: str, kind: str) -> str:
    if (table, name) in VALUES:
        return VALUES[table, name]
    if kind == "TEXT":
        return f"coalesce({name}, 'x' || cast(ctid as text)) || '-9'"
    if kind == "BOOLEAN":
        return f"not {name}"
    if kind == "DATETIME":
        return f"case when {name} is null then now() else {name} - interval '1 day' end"
    if kind == "DATE":
        return f"coalesce({name}, current_date) + 1"
    if kind == "JSONB":
        return "'[]'"
    if kind == "ARRAY":
        return "'{x}'"
    return f"coalesce({name}, 0) + 1"


def test_rows_are_up_to_date_when_any_column_of_any_source_changes(history: Engine, admin_engine: Engine) -> None:
    write(
        history,
        "insert into ops.quarantined_orders (payload_sha256, account_name, amazon_order_id, findings, remedy,"
        " first_seen_at, last_seen_at, dag_run_id) values ('a', 'acme-na', :one, '{}', 'Look.', now(), now(), 'x'),"
        " ('b', 'acme-na', null, '{}', 'Look.', now(), now(), 'x')",
        one=order_id(7),
    )
    publish(history)
    shown = set()
    for table in [one for one in metadata.sorted_tables if one.fullname in SOURCES]:
        keys = [column.name for column in table.primary_key]
        write(admin_engine, f"create table public.before_{table.name} as select * from {table.fullname}")
        for column in table.columns:
            name = column.name
            if name in keys or name == "amazon_order_id":
                continue
            write(
                history, f"update {table.fullname} set {name} = {changed_value(table.fullname, name, str(column.type))}"
            )
            if publish(history)["written"]:
                shown.add(f"{table.fullname}.{name}")
            assert rows_out_of_date(history) == 0, f"a change of {table.fullname}.{name} is not published"
            # As it was, so that no change hides the next one.
            same = " and ".join(f"changed.{key} = before.{key}" for key in keys)
            write(
                admin_engine,
                f"update {table.fullname} as changed set {name} = before.{name}"
                f" from public.before_{table.name} as before where {same}",
            )
            publish(history)
    # Guards the loop above: these are shown, so their change must have written rows.
    assert shown >= SHOWN, SHOWN - shown


SHOWN = {
    *(f"core.stores.{name}" for name in ("seller_central_host", "commerce_admin_url")),
    *(
        f"core.orders.{name}"
        for name in (
            "store_name", "amazon_status", "fulfilled_by", "purchased_at", "amazon_last_updated_at", "ship_by_at",
            "grand_total_amount", "currency_code", "is_buyer_cancel_requested", "pipeline_state", "state_reason",
        )
    ),
    *(
        f"ops.order_outbox.{name}"
        for name in (
            "commerce_order_id", "commerce_order_number", "finished_at", "needs_attention_at", "last_error_code",
            "last_error",
        )
    ),
    *(f"ops.blocker_episodes.{name}" for name in ("blocker_code", "severity", "message", "remedy", "closed_at")),
    "ops.shipment_outbox.state",
    "ops.quarantined_orders.released_at",
}  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "delete from core.shipment_tracks",
        "delete from ops.shipment_outbox",
        "delete from ops.blocker_episodes",
        "with gone as (delete from core.shipment_tracks), more as (delete from core.shipment_items)"
        " delete from core.shipments",
        "delete from ops.order_outbox",
        "insert into core.shipments select commerce_connection, 'new ' || commerce_order_id, commerce_order_id,"
        " amazon_order_id, now(), now(), 'x' from ops.order_outbox where finished_at is not null",
        "update core.stores set store_name = 'Renamed ' || store_name",
    ],
)
def test_rows_are_up_to_date_when_rows_of_a_source_come_go_or_cascade(history: Engine, statement: str) -> None:
    write(history, statement)
    assert queued(history) != []
    publish(history)
    assert rows_out_of_date(history) == 0


def test_queue_stays_empty_when_only_bookkeeping_changes(history: Engine) -> None:
    write(
        history, "update ops.blocker_episodes set last_seen_at = now(), check_count = check_count + 1, dag_run_id = 'y'"
    )
    write(history, "update core.stores set settings_sha256 = 'y', is_connected = true")
    write(history, "update core.orders set pipeline_state = 'ready' where false")
    assert queued(history) == []


def test_queue_stays_empty_when_a_run_finds_nothing_new(road: Road) -> None:
    road.buy(bought_id(1), {"TRAY-WALNUT": 1})
    road.buy(bought_id(2), {"NONE": 1})
    road.next_run()
    road.pass_time(minutes=10)
    for account_name in road.stage_stores():
        road.extract_amazon_orders(account_name)
    road.stage_amazon_orders()
    for account_name in road.validate_orders():
        road.create_commerce_orders(account_name)
    assert queued(road.engine) == []
    assert road.publish_recent_orders() == {"read": 0, "written": 0}


# Races


def test_change_is_shown_when_it_commits_between_the_claim_and_the_reading(history: Engine) -> None:
    one = order_id(3)
    note = "update core.orders set state_reason = :note where amazon_order_id = :one"
    write(history, "update core.orders set pipeline_state = 'ready', state_reason = 'First.'")
    with at_statement(
        history, "delete from ops.orders_to_publish", lambda: write(history, note, note="Late.", one=one)
    ):
        publish(history)
    assert queued(history) == [one], "its own entry is published by the next run"
    publish(history)
    assert rows_out_of_date(history) == 0


def test_change_is_shown_by_the_next_run_when_it_commits_after_the_reading(history: Engine) -> None:
    one = order_id(3)
    note = "update core.orders set state_reason = :note where amazon_order_id = :one"
    write(history, note, note="First.", one=one)
    published = "insert into reporting.recent_orders"
    with at_statement(history, published, lambda: write(history, note, note="Late.", one=one)):
        publish(history)
    assert publish(history) == {"read": 1, "written": 0 if "Completed" in str(shown(history, one)) else 1}
    assert rows_out_of_date(history) == 0


def shown(engine: Engine, amazon_order_id: str) -> Any:
    (row,) = read(engine, "select * from reporting.recent_orders where amazon_order_id = :id", id=amazon_order_id)
    return row


def test_all_changes_are_shown_when_they_commit_in_another_order_than_they_were_queued(history: Engine) -> None:
    cancel = text("update core.orders set amazon_status = 'CANCELLED' where amazon_order_id = :one")
    with history.connect() as slow:
        slow.execute(cancel, {"one": order_id(1)})
        write(history, cancel.text, one=order_id(2))
        assert publish(history)["read"] == 1
        slow.commit()
    assert publish(history)["read"] == 1
    assert {shown(history, order_id(number)).status for number in (1, 2)} == {"Canceled"}


# Batches and deaths


def test_backlog_is_finished_by_the_next_run_when_a_publisher_dies(
    history: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "BATCH_SIZE", 50)
    write(history, "update core.orders set amazon_status = 'CANCELLED'")
    written = []

    def second_batch(*arguments: Any) -> None:
        if "insert into reporting.recent_orders" in arguments[2]:
            written.append(True)
            if len(written) == 2:
                raise KeyboardInterrupt

    event.listen(history, "after_cursor_execute", second_batch)
    with pytest.raises(KeyboardInterrupt):
        publish(history)
    event.remove(history, "after_cursor_execute", second_batch)
    assert len(queued(history)) == 190, "the first batch is done, the second is not lost"
    assert shown(history, order_id(240)).status == "Canceled", "the newest entry goes first"
    assert publish(history)["read"] == 190
    assert rows_out_of_date(history) == 0


def test_order_is_written_once_when_it_is_queued_many_times(history: Engine) -> None:
    for number in range(5):
        write(history, "update core.orders set state_reason = :reason where amazon_order_id = :one",
              reason=f"Reason {number}.", one=order_id(240))  # fmt: skip
    assert len(queued(history)) == 5
    assert publish(history)["read"] == 1


# A row that cannot be written


def test_others_are_published_when_the_row_of_one_order_cannot_be_written(
    history: Engine, admin_engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of a kind that nobody has thought of, in two orders of a backlog of several batches."""
    monkeypatch.setattr(step, "BATCH_SIZE", 50)
    bad = [order_id(17), order_id(133)]
    write(
        admin_engine,
        "create function planted() returns trigger language plpgsql as $$ begin"
        " if new.amazon_order_id in ('" + "', '".join(bad) + "') then raise exception 'planted'; end if; return new;"
        " end $$;"
        " create trigger planted before insert or update on reporting.recent_orders"
        " for each row execute function planted()",
    )
    write(history, "update core.orders set amazon_status = 'CANCELLED'")
    with pytest.raises(RunIncompleteError, match=rf"^2 of 240 changed orders could not .* among them {bad[0]};"):
        publish(history)
    assert {
        row.amazon_order_id for row in read(history, "select * from reporting.recent_orders where status <> 'Canceled'")
    } == set(bad)
    assert set(queued(history)) == set(bad)
    assert f"order={bad[1]} cannot be published: RaiseException (SQLSTATE P0001)" in caplog.text
    write(admin_engine, "drop trigger planted on reporting.recent_orders")
    assert publish(history) == {"read": 2, "written": 2}
    assert rows_out_of_date(history) == 0


# Rules


def test_all_rows_are_written_again_when_the_rules_change(history: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(history) == {"read": 0, "written": 0}
    monkeypatch.setitem(step.STATUSES, "completed", "Done")
    counts = publish(history)
    assert counts["read"] == 240 and 50 < counts["written"] < 240
    assert publish(history) == {"read": 0, "written": 0}
    assert (
        read(history, "select count(*) from reporting.recent_orders where status = 'Done'")[0][0] == counts["written"]
    )


def test_orders_are_published_after_the_migration_when_a_trigger_was_missing(
    history: Engine, admin_engine: Engine
) -> None:
    migrate(admin_engine)
    assert publish(history) == {"read": 0, "written": 0}, "a migration that changes nothing queues nothing"
    write(admin_engine, "drop trigger queue_orders_on_update on core.orders")
    write(history, "update core.orders set amazon_status = 'CANCELLED' where amazon_order_id = :one", one=order_id(9))
    assert queued(history) == []
    migrate(admin_engine)
    assert publish(history)["read"] == 240
    assert shown(history, order_id(9)).status == "Canceled"


def test_no_status_is_spelled_out_when_the_query_is_read() -> None:
    """include/domain/statuses.py names them; the query gets them as parameters."""
    sql = Path(step.__file__).with_suffix(".sql").read_text(encoding="utf-8")
    from include.domain.statuses import AMAZON_STATUSES, CANCELED_STATUSES, SHOWN_STATUSES

    for name in {*AMAZON_STATUSES, *CANCELED_STATUSES, *SHOWN_STATUSES}:
        assert f"'{name}'" not in sql, name
