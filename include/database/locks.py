"""Advisory locks: one worker at a time for a thing, released by PostgreSQL itself when the worker dies.

They need a session of their own, so a connection pooler in front of the database must pool sessions, not transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text


def autocommit(engine: Engine) -> Connection:
    """A connection of which each statement commits: the session that holds locks. Close it when the work is done."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def try_lock(connection: Connection, kind: str, subject: str = "") -> Iterator[bool]:
    """Hold the lock (`kind`, `subject`) for the block; yields False at once when somebody else holds it.

    `connection` comes from `autocommit` and stays open for the whole block.
    """
    keys = {"kind": kind, "subject": subject}
    lock = text("select pg_try_advisory_lock(hashtext(:kind), hashtext(:subject))")
    got = bool(connection.execute(lock, keys).scalar_one())
    try:
        yield got
    finally:
        if got and not connection.closed and not connection.invalidated:
            connection.execute(text("select pg_advisory_unlock(hashtext(:kind), hashtext(:subject))"), keys)
