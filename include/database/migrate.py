"""Brings an orders database to the current version: schemas, tables (Alembic), views, triggers, roles and rights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.schema import SetColumnComment, SetTableComment

from include.database.engine import check_version
from include.database.tables import SCHEMAS, metadata
from include.domain.errors import UnavailableError

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

# What each role may do; `include/database/roles.sql` grants it. A test proves each.
ROLES = ("orders_rw", "orders_ui", "analyst")

_LOCK = 0x0A17_0DE5  # any constant of ours: two migrations at once wait for each other
_TRIES_BEHIND_ANOTHER = 20  # another migration of a large database takes its time

# What roles.sql asks for and only some administrators can give: the database's owner, or a superuser.
_MISSING_LIMITS = text("""
    select limits.missing
    from (
        values
        (
            has_database_privilege('public', current_database(), 'connect'),
            'every role of the server may connect to the orders database'
        ),
        (
            has_function_privilege('analyst', 'pg_catalog.pg_advisory_lock(bigint)', 'execute'),
            'the role analyst may take the locks by which the tasks take turns'
        ),
        (
            exists (select from pg_roles where rolname = 'analyst' and rolconnlimit = -1),
            'the role analyst has no limit of connections'
        ),
        (
            not exists (
                select from pg_db_role_setting as settings
                inner join pg_roles as roles on settings.setrole = roles.oid
                where roles.rolname = 'analyst' and array_to_string(settings.setconfig, ',') like '%statement_timeout=%'
            ),
            'the statements of the role analyst have no limit of time'
        )
    ) as limits (is_missing, missing)
    where limits.is_missing
""")


def migrate(engine: Engine, *, lock_timeout: timedelta = timedelta(seconds=30), tries: int = 5) -> None:
    """Migrate the database behind `engine`, whose role may create schemas and the roles that are missing.

    Safe to repeat and to run beside a second copy. A session in the way is waited for, `lock_timeout` in each of
    `tries`, and logged by name. Raises UnavailableError when it is still there: run it again, it goes on where it
    stopped; and MisconfiguredError for a server that is too old.
    """
    with engine.connect() as connection:
        check_version(int(connection.execute(text("show server_version_num")).scalar_one()))
        connection.execute(text(f"set lock_timeout = {int(lock_timeout.total_seconds() * 1000)}"))
        connection.commit()
        try:
            _patiently(connection, _take_turn, _TRIES_BEHIND_ANOTHER)
            _patiently(connection, _apply, tries)
            for missing in connection.execute(_MISSING_LIMITS).scalars():
                log.warning("%s. Resolution: have a superuser run include/database/roles.sql once.", missing)
        finally:
            connection.rollback()
            # Gives up a lock that was taken, and does nothing when none was.
            connection.execute(text("select pg_advisory_unlock_all()"))
            connection.execute(text("reset lock_timeout"))
            connection.commit()


def upgrade(connection: Connection) -> None:
    """Create the schemas and run the Alembic migrations up to the newest; commits."""
    for schema, comment in SCHEMAS.items():
        connection.execute(text(f"create schema if not exists {schema}"))
        connection.execute(text(f"comment on schema {schema} is '{comment}'"))
    connection.commit()
    config = Config()
    config.set_main_option("script_location", str(HERE / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def _patiently(connection: Connection, work: Callable[[Connection], None], tries: int) -> None:
    for left in reversed(range(tries)):
        try:
            return work(connection)
        except UnavailableError as error:
            connection.rollback()
            if not left:
                raise
            log.warning("The migration waits (%d tries left): %s", left, error)


def _take_turn(connection: Connection) -> None:
    connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
    connection.commit()


def _apply(connection: Connection) -> None:
    upgrade(connection)
    apply_comments(connection)
    # Views, triggers and rights in one transaction: no view is visible without its rights.
    views, triggers = sorted((HERE / "views").glob("*.sql")), sorted((HERE / "triggers").glob("*.sql"))
    for path in (*views, *triggers, HERE / "roles.sql"):
        connection.execute(text(path.read_text(encoding="utf-8").replace(":", r"\:")))
    connection.commit()


def apply_comments(connection: Connection) -> None:
    """Give every table and column the comment of its model, so that no migration has to."""
    for table in metadata.sorted_tables:
        connection.execute(SetTableComment(table))
        for column in table.columns:
            connection.execute(SetColumnComment(column))
