"""The pool of connections: few are opened, none is handed on with a lock or a mode, and no fork shares one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import URL, Engine, text

from include.database.engine import make_engine
from include.database.locks import autocommit, try_lock


@pytest.fixture
def pooled(database_url: URL) -> Iterator[Engine]:
    engine = make_engine(database_url.set(username="orders_rw"), application_name="pooled", is_pooled=True)
    yield engine
    engine.dispose()


def pid(engine: Engine) -> int:
    with engine.connect() as connection:
        value: int = connection.execute(text("select pg_backend_pid()")).scalar_one()
        return value


def sessions(engine: Engine) -> int:
    with engine.connect() as connection:
        count: int = connection.execute(
            text("select count(*) from pg_stat_activity where application_name = 'pooled'")
        ).scalar_one()
        return count


def advisory_locks(engine: Engine) -> int:
    with engine.connect() as connection:
        locks: int = connection.execute(
            text(
                "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from"
                " pg_database where datname = current_database())"
            )
        ).scalar_one()
        return locks


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_connection_is_reused_when_used_in_turn(pooled: Engine) -> None:
    assert len({pid(pooled) for _ in range(5)}) == 1


def test_every_thread_gets_a_connection_when_many_are_needed_at_once(pooled: Engine, admin_engine: Engine) -> None:
    barrier = threading.Barrier(12)

    def use() -> None:
        with pooled.connect() as connection:
            connection.execute(text("select 1"))
            barrier.wait(30)

    threads = [threading.Thread(target=use) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: sessions(admin_engine) == 2)


def test_connection_is_replaced_when_its_session_was_ended(pooled: Engine, admin_engine: Engine) -> None:
    first = pid(pooled)
    with admin_engine.begin() as connection:
        connection.execute(text("select pg_terminate_backend(:pid)"), {"pid": first})
    wait_until(lambda: sessions(admin_engine) == 0)
    assert pid(pooled) != first


def test_connection_can_roll_back_again_when_it_was_in_autocommit(pooled: Engine, admin_engine: Engine) -> None:
    with autocommit(pooled) as session:
        first = session.execute(text("select pg_backend_pid()")).scalar_one()
    insert = text(
        "insert into ops.validation_results (dag_run_id, suite_sha256, rule_code, expectation_type, severity,"
        " validated_at) values ('r', 's', 'c', 'e', 'i', now())"
    )
    with pooled.connect() as connection:
        assert connection.execute(text("select pg_backend_pid()")).scalar_one() == first
        connection.execute(insert)
        connection.rollback()
    with admin_engine.connect() as connection:
        assert connection.execute(text("select count(*) from ops.validation_results")).scalar_one() == 0


def test_lock_is_free_when_its_block_ends(pooled: Engine, admin_engine: Engine) -> None:
    with autocommit(pooled) as session:
        with try_lock(session, "order", "1") as got, try_lock(session, "order", "2"):
            assert got
            assert advisory_locks(admin_engine) == 2
        with pytest.raises(ZeroDivisionError), try_lock(session, "order", "1"):
            raise ZeroDivisionError
        assert advisory_locks(admin_engine) == 0


def test_lock_does_not_stay_in_the_pool_when_it_was_not_given_back(pooled: Engine, admin_engine: Engine) -> None:
    session = autocommit(pooled)
    first = session.execute(text("select pg_backend_pid()")).scalar_one()
    with try_lock(session, "order", "1") as got:
        assert got
        session.close()  # too early: the block can unlock nothing any more
    assert advisory_locks(admin_engine) == 0
    with pooled.connect() as connection:
        assert connection.execute(text("select pg_backend_pid()")).scalar_one() == first
        assert connection.connection.driver_connection is not None
        assert connection.connection.driver_connection.info.transaction_status.name != "INERROR"


def test_no_connection_is_shared_when_the_process_forks(pooled: Engine) -> None:
    before = pid(pooled)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            os.write(write, str(pid(pooled)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as stream:
        theirs = int(stream.read())
    assert theirs != before
    assert pid(pooled) == before


def test_engine_without_pool_keeps_no_session_when_it_is_not_used(database_url: URL, admin_engine: Engine) -> None:
    engine = make_engine(database_url.set(username="orders_rw"), application_name="pooled")
    pid(engine)
    wait_until(lambda: sessions(admin_engine) == 0)
