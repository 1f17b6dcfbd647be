"""Compares an orders database, as one of its connections sees it, with what this version of the code needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, text

from include.database.engine import check_version
from include.database.tables import SCHEMAS

ROLE_OF = {"orders_db": "orders_rw", "orders_db_ui": "orders_ui"}  # analysts sign in with tools of their own
_MIGRATE = "run python -m include.database migrate as the administrator"
_VERSION_TABLE = "ops.schema_version"

_FACTS = text("""
    select
        current_setting('server_version_num')::integer as server_version,
        current_setting('server_version') as shown_version,
        current_user as role_name,
        current_database() || ' ' || pg_postmaster_start_time() as identity
""")
_VERSION = text("select version_num from ops.schema_version")
_PRIVILEGES = text("""
    select
        schemas.nspname as schema_name,
        schemas.nspname || '.' || classes.relname as name,
        classes.relkind = 'r' as is_table,
        has_schema_privilege(schemas.oid, 'usage') and has_table_privilege(classes.oid, 'select') as can_read,
        has_schema_privilege(schemas.oid, 'usage')
        and has_table_privilege(classes.oid, 'insert')
        and has_table_privilege(classes.oid, 'update')
        and has_table_privilege(classes.oid, 'delete') as can_write,
        has_schema_privilege(schemas.oid, 'usage')
        and has_table_privilege(classes.oid, 'insert, update, delete, truncate') as can_change
    from pg_class as classes
    inner join pg_namespace as schemas on classes.relnamespace = schemas.oid
    where schemas.nspname = any(:schemas) and classes.relkind in ('r', 'v')
    order by name
""")


@dataclass(frozen=True)
class DatabaseCheck:
    """What a connection reaches, in words, and what is wrong with it. `identity` tells one database from another."""

    reached: str
    identity: str
    problems: list[str] = field(default_factory=list)


def check_database(connection: Connection, name: str) -> DatabaseCheck:
    """Check the database behind the Airflow connection `name`, one of ROLE_OF; reads only."""
    facts = connection.execute(_FACTS).one()
    check_version(facts.server_version)
    reached = f"PostgreSQL {facts.shown_version.split()[0]}, role {facts.role_name}"
    rows = connection.execute(_PRIVILEGES, {"schemas": list(SCHEMAS)}).all()
    if not any(row.name == _VERSION_TABLE for row in rows):
        problem = f"the database has none of this project's tables. Resolution: {_MIGRATE}"
        return DatabaseCheck(reached, facts.identity, [problem])
    problems = []
    if name == "orders_db":
        version = None
        if any(row.name == _VERSION_TABLE and row.can_read for row in rows):
            version = connection.execute(_VERSION).scalar_one_or_none()
            reached += f", tables of version {version}"
        problems += _version_problems(version)
    problems += _right_problems(rows, name, facts.role_name)
    return DatabaseCheck(reached, facts.identity, problems)


def newest_version() -> str:
    """The version of the tables that this code needs."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.stem.partition("_")[0] for path in versions.glob("[0-9]*.py"))


def _version_problems(version: str | None) -> list[str]:
    newest = newest_version()
    if version is None or version == newest:
        return []
    if version > newest:
        return [
            f"the tables are of version {version}, which this code does not know (it needs {newest}). Resolution: "
            "install the version of the code that migrated the database"
        ]
    return [f"the tables are of version {version}, this code needs {newest}. Resolution: {_MIGRATE}"]


def _right_problems(rows: Sequence[Row[Any]], name: str, role_name: str) -> list[str]:
    role = ROLE_OF[name]
    if role == "orders_rw":
        readable = {row.name for row in rows}
        writable = {row.name for row in rows if row.is_table and row.name != _VERSION_TABLE}
    else:
        readable = {row.name for row in rows if row.schema_name == "reporting"} | {"pii.order_contacts"}
        writable = set()
    lacking = {row.name for row in rows if row.name in readable and not row.can_read}
    lacking |= {row.name for row in rows if row.name in writable and not row.can_write}
    excess = {row.name for row in rows if row.name not in readable and row.can_read}
    excess |= {row.name for row in rows if row.name not in writable and row.can_change}
    problems = []
    if lacking:
        problems.append(
            f"the role {role_name} lacks rights on {_some(lacking)}. Resolution: sign in as {role}, and {_MIGRATE}, "
            "which grants its rights"
        )
    if excess and role != "orders_rw":
        problems.append(
            f"the role {role_name} may do more than it should, for example on {_some(excess)}. "
            f"Resolution: sign in as {role}, which can only read what it needs"
        )
    return problems


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
