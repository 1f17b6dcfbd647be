"""First tables: the DDL is in the .sql file of the same name."""

from __future__ import annotations

from include.database.migrations.sql_file import run_sql_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(__file__)


def downgrade() -> None:
    raise RuntimeError("There is no version before the first; drop the schemas instead.")
