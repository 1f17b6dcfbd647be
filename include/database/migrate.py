"""Brings an orders database to the current version: schemas, tables (Alembic), views, triggers, roles and rights."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.schema import SetColumnComment, SetTableComment

from include.database.engine import check_version
from include.database.tables import SCHEMAS, metadata

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

# What each role may do; `include/database/roles.sql` grants it. A test proves each.
ROLES = ("orders_rw", "orders_ui", "analyst")

_LOCK = 0x0A17_0DE5  # any constant of ours: two migrations at once wait for each other


def migrate(engine: Engine) -> None:
    """Migrate the database behind `engine`, whose role may create schemas and the roles that are missing.

    Safe to repeat and to run beside a second copy. Raises MisconfiguredError for a server that is too old.
    """
    with engine.connect() as connection:
        check_version(int(connection.execute(text("show server_version_num")).scalar_one()))
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        try:
            upgrade(connection)
            apply_comments(connection)
            # Views, triggers and rights in one transaction: nobody sees a view without its rights.
            views, triggers = sorted((HERE / "views").glob("*.sql")), sorted((HERE / "triggers").glob("*.sql"))
            for path in (*views, *triggers, HERE / "roles.sql"):
                connection.execute(text(path.read_text(encoding="utf-8").replace(":", r"\:")))
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _LOCK})
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


def apply_comments(connection: Connection) -> None:
    """Give every table and column the comment of its model, so that no migration has to."""
    for table in metadata.sorted_tables:
        connection.execute(SetTableComment(table))
        for column in table.columns:
            connection.execute(SetColumnComment(column))
