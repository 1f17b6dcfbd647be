"""Loads the named SQL statements of a step: `steps/<name>.sql` lies beside `steps/<name>.py`.

A statement begins at a line `-- name: <name>` and ends before the next one. Parameters are written `:name`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, text


@cache
def load_statements(module_file: str) -> dict[str, TextClause]:
    """The statements of the .sql file beside `module_file`, by name."""
    statements: dict[str, TextClause] = {}
    content = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    for block in content.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        statements[name.strip()] = text(body.strip().removesuffix(";"))
    return statements
