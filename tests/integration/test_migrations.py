"""Migrations: from empty, twice, two at once; the tables are those of the model, and each says what it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from include.database import tables
from include.database.engine import check_version, make_engine
from include.database.migrate import migrate
from include.database.tables.metadata import SCHEMAS
from include.domain.errors import MisconfiguredError

# design.md, section 6: names and sequence are what analysts and the pages rely on.
RECENT_ORDERS = (
    "store_name purchased_at amazon_order_id status grand_total_amount currency_code order_notes order_url "
    "commerce_order_number fulfilled_by ship_by_at is_blocked blocker_codes last_updated_at loaded_at dag_run_id "
    "pipeline_state is_importable"
)

MIGRATIONS = Path(__file__).parents[2] / "include" / "database" / "migrations"

_numbers = itertools.count(1)

COLUMNS = """
    select
        pg_class.oid::regclass::text, pg_class.relkind::text, attname, format_type(atttypid, atttypmod), attnotnull,
        attidentity::text, pg_get_expr(adbin, adrelid), col_description(pg_class.oid, attnum),
        obj_description(pg_class.oid, 'pg_class')
    from pg_class
    inner join pg_attribute on pg_class.oid = attrelid and attnum > 0 and not attisdropped
    left join pg_attrdef on attrelid = adrelid and attnum = adnum
    where relnamespace::regnamespace::text = any(:schemas) and relkind in ('r', 'v') and relname <> 'schema_version'
    order by 1, 3
"""
CONSTRAINTS = """
    select conrelid::regclass::text, conname, pg_get_constraintdef(oid), confupdtype::text
    from pg_constraint
    where connamespace::regnamespace::text = any(:schemas) and conrelid::regclass::text not like '%schema_version'
    order by 1, 2
"""
INDEXES = """
    select schemaname, tablename, indexname, indexdef from pg_indexes
    where schemaname = any(:schemas) and tablename <> 'schema_version' order by 1, 2, 3
"""


@pytest.fixture
def empty_database(database_url: URL) -> Iterator[Callable[[], Engine]]:
    """Makes databases with nothing in them; dropped at the end."""
    admin = create_engine(database_url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    names: list[str] = []

    def make() -> Engine:
        names.append(f"migrations_{next(_numbers)}")
        with admin.connect() as connection:
            connection.execute(text(f"create database {names[-1]}"))
        return make_engine(database_url.set(database=names[-1]), application_name="tests")

    yield make
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"drop database {name} with (force)"))


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), {"schemas": list(SCHEMAS)})]


def catalog(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(engine, query) for name, query in (("c", COLUMNS), ("k", CONSTRAINTS), ("i", INDEXES))}


def test_migration_changes_nothing_when_it_is_repeated(empty_database: Callable[[], Engine]) -> None:
    engine = empty_database()
    migrate(engine)
    first = catalog(engine)
    assert len({row[0] for row in first["c"]}) >= len(tables.metadata.tables)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into ops.ingest_windows (account_name, updated_from, updated_to, query, state, opened_at,"
                " dag_run_id) values ('acme', now(), now(), '{}', 'landed', now(), 'test')"
            )
        )
    migrate(engine)
    assert catalog(engine) == first
    assert rows(engine, "select version_num from ops.schema_version") != []
    assert rows(engine, "select account_name from ops.ingest_windows") == [("acme",)]


def test_schema_is_complete_when_several_migrations_start_at_once(
    empty_database: Callable[[], Engine], admin_engine: Engine
) -> None:
    engine = empty_database()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [engine] * 4))
    assert catalog(engine) == catalog(admin_engine)
    assert len(rows(engine, "select * from ops.schema_version")) == 1
    assert rows(engine, "select * from pg_locks where locktype = 'advisory'") == []


def test_model_is_that_of_the_database_when_compared_by_alembic(admin_engine: Engine) -> None:
    with admin_engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
                "version_table_schema": "ops",
                "version_table": "schema_version",
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, tables.metadata) == []


def test_model_is_what_the_migrations_made_when_built_on_its_own(
    empty_database: Callable[[], Engine], admin_engine: Engine
) -> None:
    engine = empty_database()
    with engine.begin() as connection:
        for schema in SCHEMAS:
            connection.execute(text(f"create schema {schema}"))
        tables.metadata.create_all(connection)
    modelled, migrated = catalog(engine), catalog(admin_engine)
    migrated["c"] = [row for row in migrated["c"] if row[1] == "r"]  # views are in no model
    assert len(modelled["c"]) > 200 and len(modelled["k"]) > 40 and len(modelled["i"]) > 40
    assert modelled == migrated


def test_everything_has_a_comment_when_an_analyst_looks(admin_engine: Engine) -> None:
    found = rows(admin_engine, COLUMNS)
    assert {row[1] for row in found} == {"r", "v"}
    assert [f"{row[0]}.{row[2]}" for row in found if not row[7]] == []
    assert sorted({row[0] for row in found if not row[8]}) == []
    schemas = rows(
        admin_engine,
        "select nspname, obj_description(oid, 'pg_namespace') from pg_namespace where nspname = any(:schemas)",
    )
    assert dict(schemas) == SCHEMAS


def test_columns_have_the_right_type_when_they_contain_times_or_money(admin_engine: Engine) -> None:
    found = rows(admin_engine, COLUMNS)
    times = {f"{row[0]}.{row[2]}": row[3] for row in found if row[2].endswith("_at")}
    money = {f"{row[0]}.{row[2]}": row[3] for row in found if row[2].endswith("_amount")}
    assert len(times) > 40 and set(times.values()) == {"timestamp with time zone"}
    assert len(money) > 10 and set(money.values()) == {"numeric(20,4)"}
    with_currency = {row[0] for row in found if row[2] == "currency_code"}
    assert {name.rsplit(".", 1)[0] for name in money} <= with_currency


def test_recent_orders_has_all_its_columns_when_others_rely_on_them(admin_engine: Engine) -> None:
    names = rows(
        admin_engine,
        "select column_name from information_schema.columns where table_schema = 'reporting'"
        " and table_name = 'recent_orders' order by ordinal_position",
    )
    assert [name for (name,) in names] == RECENT_ORDERS.split()


@pytest.mark.parametrize("version", [90624, 130014, 140012, 149999])
def test_version_is_refused_when_it_is_too_old(version: int) -> None:
    with pytest.raises(MisconfiguredError, match=rf"is PostgreSQL {version // 10000}\. Resolution: use 15 or newer"):
        check_version(version)


@pytest.mark.parametrize("version", [150000, 160003, 180001])
def test_version_is_accepted_when_it_is_new_enough(version: int) -> None:
    check_version(version)


def test_migrate_knows_what_was_read_when_windows_are_from_before_history(
    empty_database: Callable[[], Engine],
) -> None:
    engine = empty_database()
    with engine.connect() as connection:
        for schema in SCHEMAS:
            connection.execute(text(f"create schema {schema}"))
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.commit()
        insert = (
            "insert into ops.ingest_windows (account_name, updated_from, updated_to, query, state, opened_at,"
            " dag_run_id) values ('acme', :begin, :end, cast(:query as jsonb), :state, now(), 'test')"
        )
        for begin, end, marketplaces, state in (
            ("2026-01-01", "2026-01-10", "US", "landed"),
            ("2026-01-09", "2026-01-20", "CA,US", "landed"),
            ("2026-01-15", "2026-01-30", "CA,US", "abandoned"),
            ("2026-01-19", "2026-01-31", "CA,US", "open"),
        ):
            values = {"begin": begin, "end": end, "query": f'{{"marketplaceIds": "{marketplaces}"}}', "state": state}
            connection.execute(text(insert), values)
        connection.commit()
    migrate(engine)
    found = rows(
        engine,
        "select marketplace_id, lower(stretch)::date::text, upper(stretch)::date::text, watermark::date::text"
        " from ops.ingest_coverage cross join unnest(covered) as stretch order by 1",
    )
    assert found == [("CA", "2026-01-09", "2026-01-20", "2026-01-20"), ("US", "2026-01-01", "2026-01-20", "2026-01-20")]
    open_one = "select kind, marketplace_ids from ops.ingest_windows where state = 'open'"
    assert rows(engine, open_one) == [("history", ["CA", "US"])], "new orders do not wait for it"
