"""Alembic environment: runs on the connection that `include.database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from include.database import tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=tables.metadata,
    include_schemas=True,
    include_name=lambda name, kind, _: kind != "schema" or name in tables.SCHEMAS,
    version_table_schema="ops",
    version_table="schema_version",
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
