"""Advisory locks: one worker at a time for a thing, released by PostgreSQL itself when the worker dies.

Locks of a session (`try_lock`) need it to themselves, so a connection pooler in front of the database must pool
sessions, not transactions. A lock that cannot be had is never silent: who holds it is logged or raised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from include.domain.errors import UnavailableError

log = logging.getLogger(__name__)

# Locks of single rows, of which a step takes many: one that cannot be had skips its row, whoever holds it.
_OF_ROWS = frozenset({"order"})
_HELD = "advisory_locks_held"

_TRY_LOCK = text("select pg_try_advisory_lock(hashtext(:kind), hashtext(:subject))")
_UNLOCK = text("select pg_advisory_unlock(hashtext(:kind), hashtext(:subject))")
_TRY_XACT_LOCK = text("select pg_try_advisory_xact_lock(hashtext(:kind), hashtext(:subject))")
_XACT_LOCK = text("select pg_advisory_xact_lock(hashtext(:kind), hashtext(:subject))")
_HOLDER = text("""
    select
        activity.pid, activity.usename, activity.application_name, activity.backend_start as since,
        activity.usename = current_user as is_ours
    from pg_locks as locks
    inner join pg_stat_activity as activity on locks.pid = activity.pid
    where
        locks.locktype = 'advisory'
        and locks.granted
        and activity.datname = current_database()
        and locks.classid = cast(cast(hashtext(:kind) as bigint) & 4294967295 as oid)
        and locks.objid = cast(cast(hashtext(:subject) as bigint) & 4294967295 as oid)
        and locks.objsubid = 2
    limit 1
""")
_SESSIONS = text("""
    select
        activity.pid, activity.usename, activity.application_name, activity.xact_start as since,
        string_agg(distinct held.what, ', ' order by held.what) as what
    from pg_locks as locks
    inner join pg_stat_activity as activity on locks.pid = activity.pid
    left join pg_class as classes
        on locks.locktype = 'relation' and locks.relation = classes.oid and classes.relkind in ('r', 'v')
    left join pg_namespace as schemas
        on classes.relnamespace = schemas.oid and schemas.nspname in ('raw', 'pii', 'core', 'ops', 'reporting')
    cross join lateral (
        select case
            when schemas.nspname is not null then locks.mode || ' on ' || schemas.nspname || '.' || classes.relname
            when locks.locktype = 'advisory' then 'an advisory lock'
        end as what
    ) as held
    where
        locks.granted
        and activity.datname = current_database()
        and locks.pid not in (:besides, pg_backend_pid())
        and held.what is not null
    group by activity.pid, activity.usename, activity.application_name, activity.xact_start
    order by bool_or(locks.mode like '%Exclusive%') desc, activity.xact_start nulls last, activity.pid
    limit 5
""")


def autocommit(engine: Engine) -> Connection:
    """A connection of which each statement commits: the session that holds locks. Close it when the work is done."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def try_lock(connection: Connection, kind: str, subject: str = "") -> Iterator[bool]:
    """Hold the lock (`kind`, `subject`) for the block; yields False at once when another of our workers holds it.

    `connection` comes from `autocommit` and stays open for the whole block. Raises UnavailableError when a session of
    another role, which cannot be a worker, holds the lock of a whole step; with that of an order, it is a warning.
    """
    keys = {"kind": kind, "subject": subject}
    got = bool(connection.execute(_TRY_LOCK, keys).scalar_one())
    if got:
        connection.info[_HELD] = connection.info.get(_HELD, 0) + 1
    else:
        _report_holder(connection, kind, subject)
    try:
        yield got
    finally:
        if got and not connection.closed and not connection.invalidated:
            connection.execute(_UNLOCK, keys)
            connection.info[_HELD] -= 1


def wait_for_lock(connection: Connection, kind: str, subject: str = "") -> None:
    """Take the lock (`kind`, `subject`) until the transaction of `connection` ends; wait while another holds it.

    Raises UnavailableError, naming the holder, when the wait is longer than the engine's `lock_timeout`.
    """
    keys = {"kind": kind, "subject": subject}
    if connection.execute(_TRY_XACT_LOCK, keys).scalar_one():
        return
    holder = _holder(connection, kind, subject)
    log.info("%s: waits for its lock, which %s holds", _named(kind, subject), _described(holder))
    try:
        connection.execute(_XACT_LOCK, keys)
    except UnavailableError as error:
        raise UnavailableError(_not_to_be_had(kind, subject, holder)) from error


def sessions_with_locks(connection: Connection, *, besides: int) -> str:
    """The sessions that hold locks on our tables, or advisory ones, in words; without `connection`'s and `besides`."""
    rows = connection.execute(_SESSIONS, {"besides": besides}).all()
    return "; ".join(f"{_described(row)}: {row.what}" for row in rows) or "none any more"


def release_forgotten_locks(dbapi_connection: Any, record: ConnectionPoolEntry, state: PoolResetState) -> None:
    """Before a connection goes back to its pool: give up what a block could not unlock."""
    if record.info.pop(_HELD, 0) and not state.terminate_only and not dbapi_connection.closed:
        dbapi_connection.rollback()
        dbapi_connection.execute("select pg_advisory_unlock_all()")
        dbapi_connection.rollback()


def _report_holder(connection: Connection, kind: str, subject: str) -> None:
    holder = _holder(connection, kind, subject)
    if holder is None or holder.is_ours:
        log.info("%s: another worker is at it (%s)", _named(kind, subject), _described(holder))
    elif kind in _OF_ROWS:
        log.warning("%s", _not_to_be_had(kind, subject, holder))
    else:
        raise UnavailableError(_not_to_be_had(kind, subject, holder))


def _holder(connection: Connection, kind: str, subject: str) -> Row[Any] | None:
    return connection.execute(_HOLDER, {"kind": kind, "subject": subject}).one_or_none()


def _named(kind: str, subject: str) -> str:
    return f"{kind} of {subject}" if subject else kind


def _described(session: Row[Any] | None) -> str:
    if session is None:
        return "a session that has ended"
    since = f", since {session.since:%Y-%m-%d %H:%M:%S} UTC" if session.since else ""  # seen of one's own role only
    return f"pid {session.pid} (role {session.usename}, application {session.application_name or 'unnamed'}{since})"


def _not_to_be_had(kind: str, subject: str, holder: Row[Any] | None) -> str:
    return (
        f"{_named(kind, subject)}: its lock is held by {_described(holder)}. Resolution: it is tried again; if it "
        "stays so, find out what that session does, or end it with pg_terminate_backend(pid)."
    )
