"""What still holds stock, and how far each shop's shipments are read: the DDL is in the .sql file of the same name."""

from __future__ import annotations

from include.database.migrations.sql_file import refuse_downgrade, run_sql_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file(__file__)


def downgrade() -> None:
    refuse_downgrade()
