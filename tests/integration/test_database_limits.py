"""Nobody who only reads can stop the pipeline, and whoever holds a lock is named: tried out with sessions of each role.

Rights on a database are not copied with its tables, so these tests migrate their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from include.database import __main__ as command
from include.database.engine import make_engine
from include.database.locks import autocommit, try_lock, wait_for_lock
from include.database.migrate import migrate
from include.domain.errors import UnavailableError
from local import postgres
from tests.support.orders import order_id
from tests.support.road import Road

SOON = timedelta(milliseconds=200)
OURS = {"orders_rw", "orders_ui", "analyst"}
TAKE = ("pg_advisory_lock(1)", "pg_try_advisory_lock(1, 2)", "pg_advisory_lock_shared(1)")
TAKE += ("pg_advisory_xact_lock(1)", "pg_try_advisory_xact_lock_shared(1, 2)")


@pytest.fixture
def admin_engine(admin_engine: Engine) -> Engine:
    """The administrator, once the test's own database has its rights and limits."""
    migrate(admin_engine)
    return admin_engine


@pytest.fixture
def connect(database_url: URL, admin_engine: Engine) -> Iterator[Callable[..., Connection]]:
    """Opens sessions of any role, named `tests <role>`."""
    with ExitStack() as sessions:

        def open_session(role: str, **options: Any) -> Connection:
            engine = make_engine(database_url.set(username=role), application_name=f"tests {role}", **options)
            return sessions.enter_context(engine.connect())

        yield open_session


def setting(connection: Connection, name: str) -> str:
    value: str = connection.execute(text(f"show {name}")).scalar_one()
    return value


def is_denied(connection: Connection, statement: str) -> bool:
    try:
        connection.execute(text(statement))
    except ProgrammingError as error:
        assert isinstance(error.orig, psycopg.errors.InsufficientPrivilege), error
        return True
    finally:
        connection.rollback()
    return False


# Roles


def test_connection_is_denied_when_another_role_of_the_server_asks_for_one(
    database_url: URL, admin_engine: Engine, server: postgres.ServerAddress
) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text("create role stranger login"))
    try:
        for role in (*OURS, "stranger"):
            engine = create_engine(database_url.set(username=role), poolclass=NullPool)
            if role in OURS:
                engine.connect().close()
                continue
            with pytest.raises(OperationalError, match="permission denied for database"):
                engine.connect()
    finally:
        with admin_engine.begin() as connection:
            connection.execute(text("drop role stranger"))


@pytest.mark.parametrize("role", sorted(OURS))
def test_temporary_table_is_denied_when_the_role_only_reads(connect: Callable[..., Connection], role: str) -> None:
    assert is_denied(connect(role), "create temporary table planted (a integer)") is (role != "orders_rw")


@pytest.mark.parametrize("role", sorted(OURS))
@pytest.mark.parametrize("function", TAKE)
def test_advisory_lock_is_denied_when_the_role_only_reads(
    connect: Callable[..., Connection], role: str, function: str
) -> None:
    assert is_denied(connect(role), f"select {function}") is (role != "orders_rw")


def test_analyst_may_take_no_advisory_lock_when_every_function_is_looked_up(admin_engine: Engine) -> None:
    with admin_engine.connect() as connection:
        names = connection.execute(
            text(
                r"select distinct proname from pg_proc where proname like '%advisory%' and proname not like '%unlock%'"
                " and has_function_privilege('analyst', oid, 'execute')"
            )
        ).all()
    assert names == []


def test_sessions_have_their_limits_when_they_begin(connect: Callable[..., Connection]) -> None:
    analyst, pages = connect("analyst"), connect("orders_ui")
    assert setting(analyst, "statement_timeout") == "5min"
    assert setting(analyst, "idle_in_transaction_session_timeout") == "1min"
    assert setting(pages, "statement_timeout") == "1min"
    assert setting(pages, "idle_in_transaction_session_timeout") == "1min"
    for role in OURS:
        assert setting(connect(role), "lock_timeout") == "1min"
    assert setting(connect("orders_rw", lock_timeout=SOON), "lock_timeout") == "200ms"


def test_statement_is_ended_when_an_analyst_lets_it_run(
    admin_engine: Engine, connect: Callable[..., Connection], database_url: URL
) -> None:
    set_for_analyst(admin_engine, "statement_timeout = '100ms'")
    with pytest.raises(OperationalError, match="statement timeout"):
        connect("analyst").execute(text("select pg_sleep(60)"))


def test_session_is_ended_when_an_analyst_leaves_a_transaction_open(
    admin_engine: Engine, connect: Callable[..., Connection]
) -> None:
    set_for_analyst(admin_engine, "idle_in_transaction_session_timeout = '100ms'")
    session = connect("analyst")
    session.execute(text("select * from reporting.recent_orders"))
    time.sleep(0.5)
    with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
        session.execute(text("select 1"))


def set_for_analyst(admin_engine: Engine, assignment: str) -> None:
    with admin_engine.begin() as connection:
        database = connection.execute(text("select current_database()")).scalar_one()
        connection.execute(text(f"alter role analyst in database {database} set {assignment}"))


def test_connection_is_refused_when_an_analyst_opens_too_many(connect: Callable[..., Connection]) -> None:
    for _ in range(10):
        connect("analyst")
    with pytest.raises(OperationalError, match='too many connections for role "analyst"'):
        connect("analyst")
    connect("orders_rw")


def test_limits_stay_when_an_administrator_has_chosen_others(
    admin_engine: Engine, connect: Callable[..., Connection]
) -> None:
    set_for_analyst(admin_engine, "statement_timeout = '30min'")
    with admin_engine.begin() as connection:
        connection.execute(text("alter role analyst connection limit 25"))
    try:
        migrate(admin_engine)
        analyst = connect("analyst")
        assert setting(analyst, "statement_timeout") == "30min"
        limit = "select rolconnlimit from pg_roles where rolname = 'analyst'"
        assert analyst.execute(text(limit)).scalar_one() == 25
    finally:
        with admin_engine.begin() as connection:
            connection.execute(text("alter role analyst connection limit 10"))


def test_migration_warns_and_goes_on_when_its_administrator_is_no_superuser(
    admin_engine: Engine, database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """Managed servers give no superuser: what cannot be limited is said, and the rest goes on."""
    database = database_url.database
    with admin_engine.begin() as connection:
        for statement in (
            "create role owner_only login createrole",
            f"alter database {database} owner to owner_only",
            "grant execute on function pg_catalog.pg_advisory_lock(bigint) to public",
            "do $$ declare s text; begin for s in select nspname from pg_namespace where nspname in "
            "('raw', 'pii', 'core', 'ops', 'reporting') loop "
            "execute format('alter schema %I owner to owner_only', s); end loop; "
            "for s in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = relnamespace where nspname"
            " in ('raw', 'pii', 'core', 'ops', 'reporting') and relkind in ('r', 'v') loop "
            "execute format('alter table %s owner to owner_only', s); end loop; "
            "for s in select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = pronamespace"
            " where nspname = 'ops' loop execute format('alter function %s owner to owner_only', s); end loop; end $$",
        ):
            connection.execute(text(statement.replace(":", r"\:")))
    try:
        migrate(make_engine(database_url.set(username="owner_only"), application_name="tests"))
        assert "the role analyst may take the locks" in caplog.text
        assert "may connect" not in caplog.text
    finally:
        with admin_engine.begin() as connection:
            connection.execute(text(f"alter database {database} owner to postgres"))
            connection.execute(text("reassign owned by owner_only to postgres"))
            connection.execute(text("drop owned by owner_only"))
            connection.execute(text("drop role owner_only"))


# Locks


@contextmanager
def stranger_holds(admin_engine: Engine, kind: str, subject: str = "") -> Iterator[None]:
    """A session that is none of ours holds the advisory lock; only an administrator's can."""
    holder = make_engine(admin_engine.url, application_name="notebook")
    with autocommit(holder) as session, try_lock(session, kind, subject) as got:
        assert got
        yield


@pytest.mark.parametrize(("kind", "subject"), [("validate_orders", ""), ("extract_amazon_orders", "acme-na")])
def test_error_names_the_stranger_when_one_holds_the_lock_of_a_step(
    admin_engine: Engine, engine: Engine, kind: str, subject: str
) -> None:
    with stranger_holds(admin_engine, kind, subject), autocommit(engine) as session:
        with (
            pytest.raises(
                UnavailableError, match=rf"{kind}.*pid \d+ \(role postgres, application notebook\).*Resolution"
            ),
            try_lock(session, kind, subject),
        ):
            pass
        with try_lock(session, kind, "another") as got:
            assert got


def test_validate_orders_fails_when_a_stranger_holds_its_lock(road: Road, admin_engine: Engine) -> None:
    with (
        stranger_holds(admin_engine, "validate_orders"),
        pytest.raises(UnavailableError, match="validate_orders: its lock is held by pid"),
    ):
        road.validate_orders()


def test_order_is_skipped_with_a_warning_when_a_stranger_holds_its_lock(
    admin_engine: Engine, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        stranger_holds(admin_engine, "order", "1"),
        autocommit(engine) as session,
        try_lock(session, "order", "1") as got,
    ):
        assert not got
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "order of 1: its lock is held by pid" in record.getMessage()
    assert "notebook" in record.getMessage()


def test_lock_is_not_given_when_another_worker_holds_it(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with autocommit(engine) as one, autocommit(engine) as other:
        with try_lock(one, "validate_orders") as first, try_lock(other, "validate_orders") as second:
            assert (first, second) == (True, False)
        assert "validate_orders: another worker is at it (pid " in caplog.text
        with try_lock(other, "validate_orders") as got:
            assert got


def test_waiting_for_a_lock_fails_when_it_takes_too_long(
    admin_engine: Engine, database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine = make_engine(database_url.set(username="orders_rw"), application_name="tests", lock_timeout=SOON)
    with (
        stranger_holds(admin_engine, "stage_stores"),
        engine.connect() as connection,
        pytest.raises(UnavailableError, match=r"stage_stores: its lock is held by pid \d+ .*notebook"),
    ):
        wait_for_lock(connection, "stage_stores")
    assert "stage_stores: waits for its lock, which pid" in caplog.text
    with engine.connect() as connection:
        wait_for_lock(connection, "stage_stores")


def test_waiting_for_a_lock_succeeds_when_it_is_given_up_meanwhile(engine: Engine) -> None:
    with engine.connect() as first, engine.connect() as second:
        wait_for_lock(first, "stage_stores")
        timer = threading.Timer(0.2, first.rollback)
        timer.start()
        wait_for_lock(second, "stage_stores")
        timer.join()


def test_publishing_names_the_stranger_when_one_has_locked_the_table(
    road: Road, admin_engine: Engine, database_url: URL
) -> None:
    road.engine = make_engine(database_url.set(username="orders_rw"), application_name="tests", lock_timeout=SOON)
    road.buy(order_id(1))
    road.pass_time(minutes=10)
    road.stage_stores()
    road.extract_amazon_orders()
    road.stage_amazon_orders()
    notebook = make_engine(admin_engine.url, application_name="notebook")
    with notebook.connect() as connection:
        connection.execute(text("lock table reporting.recent_orders in share mode"))
        with pytest.raises(UnavailableError) as caught:
            road.publish_recent_orders()
    told = str(caught.value)
    assert "the lock for" in told
    assert "role postgres, application notebook): ShareLock on reporting.recent_orders" in told
    assert "Resolution:" in told
    road.publish_recent_orders()


def test_staging_names_the_stranger_when_one_has_locked_a_row(
    road: Road, admin_engine: Engine, database_url: URL
) -> None:
    road.stage_stores()
    road.engine = make_engine(database_url.set(username="orders_rw"), application_name="tests", lock_timeout=SOON)
    notebook = make_engine(admin_engine.url, application_name="notebook")
    with notebook.connect() as connection:
        connection.execute(text("select * from core.stores for update"))
        with pytest.raises(UnavailableError, match=r'in relation "stores".*notebook.*core\.stores'):
            road.stage_stores()


# Migrations


def test_migration_names_the_analyst_when_one_has_left_a_transaction_open(
    admin_engine: Engine, connect: Callable[..., Connection], caplog: pytest.LogCaptureFixture
) -> None:
    analyst = connect("analyst")
    analyst.execute(text("select * from reporting.blocked_orders"))
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        migrate(admin_engine, lock_timeout=SOON, tries=2)
    assert time.monotonic() - started < 10
    told = str(caught.value)
    assert "role analyst, application tests analyst, since 20" in told
    assert "AccessShareLock on reporting.blocked_orders" in told
    assert "The migration waits (1 tries left)" in caplog.text
    with admin_engine.connect() as connection:
        assert connection.execute(text("select * from pg_locks where locktype = 'advisory'")).all() == []


def test_migration_succeeds_when_the_analyst_leaves_in_the_middle(
    admin_engine: Engine, connect: Callable[..., Connection]
) -> None:
    analyst = connect("analyst")
    analyst.execute(text("select * from reporting.blocked_orders"))
    timer = threading.Timer(0.5, analyst.rollback)
    timer.start()
    migrate(admin_engine, lock_timeout=SOON, tries=50)
    timer.join()


def test_migrate_command_names_the_role_when_somebody_is_in_the_way(
    admin_engine: Engine, connect: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    analyst = connect("analyst")
    analyst.execute(text("select * from reporting.blocked_orders"))
    monkeypatch.setenv("ORDERS_DB_ADMIN_URL", admin_engine.url.render_as_string(hide_password=False))
    monkeypatch.setattr(command, "migrate", lambda engine: migrate(engine, lock_timeout=SOON, tries=1))
    assert command.main(["migrate"]) == 1
    assert "role analyst" in capsys.readouterr().err
