"""Each database role can do what the design says, tried out on every table and view, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import ProgrammingError

from include.database.engine import make_engine
from include.database.tables.metadata import SCHEMAS

EVERYTHING = {"select", "insert", "update", "delete"}
ATTEMPTS = {
    "select": "select * from {name} limit 1",
    "insert": "insert into {name} ({column}) overriding system value select {column} from {name} where false",
    "update": "update {name} set {column} = {column} where false",
    "delete": "delete from {name} where false",
    "truncate": "truncate {name} cascade",
    "alter": "alter table {name} add column extra integer",
    "drop": "drop table {name} cascade",
}


VIEWS = {
    ("core", "open_cancel_requests"),
    ("ops", "held_orders"),
    ("ops", "open_order_outbox"),
    ("reporting", "api_quota"),
    ("reporting", "backfills"),
    ("reporting", "blocked_orders"),
    ("reporting", "blocked_revenue"),
    ("reporting", "blocker_history_daily"),
    ("reporting", "cancellations"),
    ("reporting", "daily_sales"),
    ("reporting", "daily_sales_by_sku"),
    ("reporting", "data_freshness"),
    ("reporting", "flagged_orders"),
    ("reporting", "fulfilment_lateness_daily"),
    ("reporting", "order_timeline"),
    ("reporting", "held_writes"),
    ("reporting", "quarantined_orders"),
    ("reporting", "sales_summary"),
    ("reporting", "schema_drift"),
    ("reporting", "ship_by_risk"),
    ("reporting", "sync_health"),
    ("reporting", "time_to_commerce"),
}


def relations(engine: Engine) -> list[tuple[str, str, str]]:
    """(schema, table or view, its last column) of everything in our schemas."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select table_schema, table_name, (array_agg(column_name order by ordinal_position desc))[1]"
                " from information_schema.columns where table_schema = any(:schemas) and is_generated = 'NEVER'"
                " group by 1, 2 order by 1, 2"
            ),
            {"schemas": list(SCHEMAS)},
        )
        return [(row[0], row[1], row[2]) for row in rows]


def may(engine: Engine, statement: str) -> bool:
    """Whether the engine's role may run the statement, found out by running it; what it does is rolled back."""
    with engine.connect() as connection:
        try:
            connection.execute(text(statement))
        except ProgrammingError as error:
            assert isinstance(error.orig, psycopg.errors.InsufficientPrivilege), error
            return False
        finally:
            connection.rollback()
        return True


def wanted(role: str, schema: str, name: str) -> set[str]:
    is_view = (schema, name) in VIEWS
    if role == "orders_rw":
        return {"select"} if is_view or name == "schema_version" else EVERYTHING
    if schema == "reporting" or (role == "orders_ui" and (schema, name) == ("pii", "order_contacts")):
        return {"select"}
    return set()


@pytest.fixture(params=["orders_rw", "orders_ui", "analyst"])
def role_engine(request: pytest.FixtureRequest, database_url: URL) -> Iterator[Engine]:
    yield make_engine(database_url.set(username=request.param), application_name="tests")


def test_role_can_do_what_the_design_says_when_it_tries_everything(role_engine: Engine, admin_engine: Engine) -> None:
    role = str(role_engine.url.username)
    found = relations(admin_engine)
    assert {schema for schema, _, _ in found} == set(SCHEMAS)
    with role_engine.connect() as connection:
        assert connection.execute(text("select current_user")).scalar_one() == role
    for schema, name, column in found:
        is_view = (schema, name) in VIEWS
        for attempt, statement in ATTEMPTS.items():
            if is_view and attempt != "select":
                continue  # cannot be written by anybody: they join
            expected = attempt in wanted(role, schema, name)
            statement = statement.format(name=f"{schema}.{name}", column=column)
            assert may(role_engine, statement) is expected, f"{role}: {statement}"


def test_nothing_is_created_when_a_role_tries_to_create_something(role_engine: Engine) -> None:
    for schema in (*SCHEMAS, "public"):
        assert not may(role_engine, f"create table {schema}.planted (a integer)"), schema
    assert not may(role_engine, "create schema planted")
    assert not may(role_engine, "create role planted")


def test_role_is_denied_when_it_tries_to_become_another(role_engine: Engine) -> None:
    for other in {"orders_rw", "orders_ui", "analyst", "postgres"} - {str(role_engine.url.username)}:
        assert not may(role_engine, f"set role {other}"), other


def test_roles_are_plain_users_when_listed(admin_engine: Engine) -> None:
    with admin_engine.connect() as connection:
        rows = connection.execute(
            text(
                "select rolname, rolcanlogin, rolsuper or rolcreaterole or rolcreatedb or rolreplication"
                " or rolbypassrls from pg_roles where rolname in ('orders_rw', 'orders_ui', 'analyst')"
            )
        ).all()
    assert {tuple(row) for row in rows} == {(role, True, False) for role in ("orders_rw", "orders_ui", "analyst")}


def test_analyst_is_denied_when_looking_for_a_way_around(database_url: URL) -> None:
    analyst = make_engine(database_url.set(username="analyst"), application_name="tests")
    for statement in (
        "select pg_read_file('/etc/hostname')",
        "copy (select 1) to program 'true'",
        "select * from reporting.recent_orders, pii.order_contacts",
        "create view reporting.planted as select 1",
        "lock table reporting.recent_orders in access exclusive mode",
    ):
        assert not may(analyst, statement), statement
