"""Backfills, replays, quarantine and schema drift: the DDL is in the .sql file of the same name."""

from __future__ import annotations

from include.database.migrations.sql_file import refuse_downgrade, run_sql_file

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(__file__)


def downgrade() -> None:
    refuse_downgrade()
