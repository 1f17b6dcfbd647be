"""Engines of the orders database."""

from __future__ import annotations

import os
import select
import time
import weakref
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from include.database.locks import release_forgotten_locks, sessions_with_locks
from include.domain.errors import MisconfiguredError, UnavailableError
from include.settings import Settings

_USED_AT = "used_at"
_SURE_SECONDS = 10

_pooled: weakref.WeakSet[Engine] = weakref.WeakSet()


def make_engine(
    url: URL | str,
    *,
    application_name: str,
    statement_timeout: timedelta | None = None,
    lock_timeout: timedelta = Settings.lock_timeout,
    is_pooled: bool = False,
    pool_size: int = 2,
) -> Engine:
    """An engine in UTC. `url` has the driver `postgresql+psycopg`.

    A pooled engine keeps up to `pool_size` connections open between uses (dispose it when the work is done) and opens
    more when more are needed at once; without a pool each use opens one and closes it. A wait for a lock that is longer
    than `lock_timeout` raises UnavailableError, which says who holds locks.
    """
    options = f"-c timezone=UTC -c lock_timeout={_milliseconds(lock_timeout)}"
    if statement_timeout is not None:
        options += f" -c statement_timeout={_milliseconds(statement_timeout)}"
    pool: dict[str, Any] = {"poolclass": NullPool}
    if is_pooled:
        pool = {"pool_size": pool_size, "max_overflow": -1, "pool_recycle": 300}
    engine = create_engine(
        url,
        hide_parameters=True,  # values never stand in an error's text
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "options": options,
            "prepare_threshold": None,  # plans that fit the values, whatever ran on this connection before
        },
        **pool,
    )
    event.listen(engine, "handle_error", _say_what_to_do)
    event.listen(engine, "reset", release_forgotten_locks)
    if is_pooled:
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _check_if_it_lives)
        _pooled.add(engine)
    return engine


def _note_use(_: Any, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = time.monotonic()


def _check_if_it_lives(connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _: Any) -> None:
    """A server that was restarted, or a firewall that forgot us, is noticed before a statement is lost to it.

    A connection that was in use just now is asked only if something arrived on it, which is what an end looks like.
    """
    used_at = record.info.get(_USED_AT)
    if used_at is None:
        return  # just opened
    arrived = select.poll()
    arrived.register(connection.fileno(), select.POLLIN)
    if time.monotonic() - used_at < _SURE_SECONDS and not arrived.poll(0):
        return
    try:
        connection.execute("select 1")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error


def _leave_connections_to_parent() -> None:
    """Two processes cannot speak on one connection: a forked one opens its own and leaves the others alone."""
    for engine in list(_pooled):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_connections_to_parent)


def _milliseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _say_what_to_do(context: ExceptionContext) -> None:
    """Add what to do to the error of a database that cannot be reached, or of a lock that cannot be had."""
    error = context.sqlalchemy_exception
    if isinstance(context.original_exception, psycopg.errors.LockNotAvailable):
        raise UnavailableError(_lock_message(context, context.original_exception)) from context.original_exception
    if context.connection is None and error is not None:
        error.args = (
            f"The orders database cannot be reached: {str(context.original_exception).strip()}\nResolution: check that "
            "PostgreSQL runs, and the Airflow connection of this database (docs/configuration.md); nothing is lost.",
        )


def _lock_message(context: ExceptionContext, error: psycopg.Error) -> str:
    lines = [line.strip() for line in (context.statement or "").splitlines()]
    statement = next((line for line in lines if line and not line.startswith("--")), "")[:100]
    where = f" ({error.diag.context.splitlines()[0]})" if error.diag.context else ""
    holders = "unknown"
    if context.engine is not None and context.connection is not None:
        own = context.connection.connection.driver_connection
        try:
            with context.engine.connect() as connection:
                holders = sessions_with_locks(connection, besides=own.info.backend_pid if own else 0)
        except SQLAlchemyError:
            pass  # the lock is the news
    return (
        f"The orders database: the lock for `{statement}`{where} was not to be had in time. Sessions that hold locks: "
        f"{holders}. Resolution: it is tried again; if it stays so, have that session end its transaction, or end it "
        "with pg_terminate_backend(pid)."
    )


def check_version(server_version: int) -> None:
    """Refuse a server older than PostgreSQL 15. `server_version` is PostgreSQL's server_version_num."""
    if server_version < 150000:
        raise MisconfiguredError(
            f"The orders database is PostgreSQL {server_version // 10000}. Resolution: use 15 or newer."
        )
