"""What every migration does: it runs the .sql file of its own name, and there is no way back."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from alembic import op


def run_sql_file(migration: str) -> None:
    """Run the statements beside the migration whose `__file__` is given."""
    statements = Path(migration).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements)


def refuse_downgrade(why: str = "Migrations go forward only") -> NoReturn:
    """Raise RuntimeError: `why`, and what to do instead."""
    raise RuntimeError(f"{why}; restore a backup instead.")
