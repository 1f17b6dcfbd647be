"""Writes the generated documents: DAG docstrings, table comments, settings, marketplaces, rights and blockers.

Some pages are generated as a whole. In pages that people write, only the part between two markers is replaced. DAG
files are read as text, not imported, so this is quick and needs no Airflow.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from include.adapters.commerce.rights import CUSTOMERS, LEGACY_STOCK, NEEDED, RIGHT_OF, SAVE_CUSTOMERS
from include.database.tables import SCHEMAS, metadata
from include.domain.blockers import BLOCKER_CODES
from include.domain.marketplaces import MARKETPLACES
from include.settings import Settings, shown_default, variable

_WRITTEN_BY = "<!-- Written by `make docs`; change the source named below and run it again. -->"
_VIEW_COMMENT = re.compile(r"comment on view (\w+)\.(\w+) is\s+'((?:[^']|'')*)'")
_VIEW_COLUMN_COMMENT = re.compile(r"comment on column (\w+)\.(\w+)\.(\w+) is\s+'((?:[^']|'')*)'")


class DocumentError(ValueError):
    """A source or a page lacks something that the generator needs; the message names the file and what is missing."""


@dataclass(frozen=True)
class TaskEntry:
    """One task as its DAG file describes it. `pool` is empty for Airflow's default pool."""

    task_id: str
    meaning: str
    pool: str
    is_mapped: bool


@dataclass(frozen=True)
class DagEntry:
    """One DAG as its file describes it. `tasks` are those with a step, in the order of the file."""

    dag_id: str
    docstring: str
    tasks: tuple[TaskEntry, ...]


def write(checkout: Path) -> list[Path]:
    """Update every generated document under `checkout` and return those that changed.

    Raises DocumentError for a page without its markers or a DAG file without a docstring.
    """
    changed = []
    for path, text in current(checkout).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def current(checkout: Path) -> dict[Path, str]:
    """Every generated document under `checkout`, with the text that it should have. Raises DocumentError."""
    pages = {
        checkout / "docs" / "dags.md": _dags_page(read_dags(checkout)),
        checkout / "docs" / "data-dictionary.md": _dictionary_page(checkout),
    }
    blocks = {
        checkout / "docs" / "configuration.md": {"settings": _settings_table(), "marketplaces": _marketplaces_table()},
        checkout / "docs" / "going-live.md": {"rights": _rights_table()},
        checkout / "docs" / "runbook.md": {"blockers": _blockers_table()},
        checkout / ".env.example": {"settings": _settings_lines()},
    }
    for path, parts in blocks.items():
        text = path.read_text(encoding="utf-8")
        for name, part in parts.items():
            text = _replaced(text, path, name, part)
        pages[path] = text
    return pages


def read_dags(checkout: Path) -> list[DagEntry]:
    """The DAGs of `checkout`/dags, by file name. Raises DocumentError for a file without docstring or DAG."""
    entries = []
    for path in sorted((checkout / "dags").glob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        docstring = ast.get_docstring(module)
        function = next((node for node in module.body if _decorator(node, "dag") is not None), None)
        if docstring is None or not isinstance(function, ast.FunctionDef):
            raise DocumentError(f"{path}: there is no module docstring or no function with @dag.")
        entries.append(DagEntry(function.name, docstring, tuple(_tasks(function))))
    return entries


def _tasks(function: ast.FunctionDef) -> Iterator[TaskEntry]:
    mapped = {
        node.value.id
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "expand" and isinstance(node.value, ast.Name)
    }
    for node in function.body:
        decorator = _decorator(node, "task")
        if decorator is None or not isinstance(node, ast.FunctionDef):
            continue
        pool = ""
        if isinstance(decorator, ast.Call):
            values = {keyword.arg: keyword.value for keyword in decorator.keywords}
            pool = ast.literal_eval(values["pool"]) if "pool" in values else ""
        yield TaskEntry(node.name, ast.get_docstring(node) or "", pool, node.name in mapped)


def _decorator(node: ast.stmt, name: str) -> ast.expr | None:
    for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute):  # task.sensor
            called = called.value
        if isinstance(called, ast.Name) and called.id == name:
            return decorator
    return None


def _dags_page(entries: Sequence[DagEntry]) -> str:
    parts = ["# The DAGs", _WRITTEN_BY, "Source: the docstrings in `dags/`, which the Airflow UI shows, too."]
    for entry in entries:
        rows = [
            [f"[`{task.task_id}`](../include/steps/{task.task_id}.py)", task.meaning,
             "one per account" if task.is_mapped else "one", f"`{task.pool}`" if task.pool else "default"]
            for task in entry.tasks
        ]  # fmt: skip
        parts += [f"## {entry.dag_id}", entry.docstring, _table(["Task", "Does", "Instances", "Pool"], rows)]
    return "\n\n".join(parts) + "\n"


def _dictionary_page(checkout: Path) -> str:
    parts = [
        "# Data dictionary",
        _WRITTEN_BY,
        "Source: the comments in `include/database/tables/` and `include/database/views/`, which are in the database, "
        "too. Times are `timestamptz` in UTC. Amounts are `numeric(20, 4)` with their currency in `currency_code`.",
    ]
    views = _views(checkout)
    for schema, meaning in SCHEMAS.items():
        parts += [f"## Schema {schema}", meaning]
        for table in sorted((t for t in metadata.tables.values() if t.schema == schema), key=lambda t: t.name):
            rows = [[f"`{c.name}`", _type(c), _key(table, c), c.comment or ""] for c in table.columns]
            heading = f"### {schema}.{table.name}"
            parts += [heading, table.comment or "", _table(["Column", "Type", "Key", "Meaning"], rows)]
        for name, (comment, columns) in views.items():
            if name.startswith(f"{schema}."):
                rows = [[f"`{column}`", text] for column, text in columns]
                parts += [f"### {name} (view)", comment, _table(["Column", "Meaning"], rows)]
    return "\n\n".join(parts) + "\n"


def _type(column: Column[object]) -> str:
    name = column.type.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    name = name.replace("timestamp with time zone", "timestamptz")
    return name if column.nullable else f"{name} not null"


def _key(table: Table, column: Column[object]) -> str:
    roles = ["primary"] if column.primary_key else []
    if len(table.primary_key.columns) > 1 and roles:
        roles = ["primary (part)"]
    for foreign_key in sorted(column.foreign_keys, key=lambda key: key.target_fullname):
        roles.append(f"-> {foreign_key.target_fullname}")
    return ", ".join(roles)


def _views(checkout: Path) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """The views by name: their comment, and their columns with comments, in the order of the file."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for path in sorted((checkout / "include" / "database" / "views").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        comments = _VIEW_COMMENT.findall(text)
        if not comments:
            raise DocumentError(f"{path}: the view has no comment.")
        for schema, name, comment in comments:
            columns = [
                (column, _unquoted(meaning))
                for column_schema, view, column, meaning in _VIEW_COLUMN_COMMENT.findall(text)
                if (column_schema, view) == (schema, name)
            ]
            found[f"{schema}.{name}"] = _unquoted(comment), columns
    return found


def _unquoted(sql_text: str) -> str:
    return sql_text.replace("''", "'")


def documented_default(setting: Field[Any]) -> str:
    """The default of a setting as documents show it: the files by their paths in the checkout."""
    files = {"stores_file": "include/stores.yaml", "carriers_file": "include/carriers.yaml"}  # absolute in the code
    return files.get(setting.name) or shown_default(setting)


def _settings_table() -> str:
    rows = [
        [f"`{variable(setting)}`", f"`{default}`" if default else "(none)", str(setting.metadata["meaning"])]
        for setting in fields(Settings)
        for default in [documented_default(setting)]
    ]
    return _table(["Variable", "Default", "Meaning"], rows)


def _settings_lines() -> str:
    return "\n".join(
        f"# {setting.metadata['meaning']}\n#{variable(setting)}={_quoted(documented_default(setting))}"
        for setting in fields(Settings)
        if not setting.metadata["secret"]
    )


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value


def _marketplaces_table() -> str:
    rows = [
        [f"`{m.marketplace_id}`", m.country_code, m.region, m.currency_code, m.time_zone,
         "with tax" if m.prices_include_tax else "without tax"]
        for m in MARKETPLACES.values()
    ]  # fmt: skip
    return _table(["marketplace_id", "Country", "Region", "Currency", "Time zone", "Item prices"], rows)


def _rights_table() -> str:
    rows = []
    for right in NEEDED:
        calls = [f"`{operation}`" for operation, needed in RIGHT_OF.items() if needed == right]
        if right == CUSTOMERS:
            calls.append("only needed for a store with `customer: fixed` or `new_account`")
        elif right == SAVE_CUSTOMERS:
            calls.append("only needed for a store with `customer: new_account`")
        elif right == LEGACY_STOCK:
            calls.append("only needed for a shop without multi-source inventory")
        rows.append([right.place, f"`{right.resource}`", ", ".join(calls)])
    return _table(["Tick in the tree", "Right", "Calls that need it"], rows)


def _blockers_table() -> str:
    rows = [[f"`{code.code}`", code.severity, code.title + ".", code.remedy] for code in BLOCKER_CODES.values()]
    return _table(["Code", "Severity", "Meaning", "What to do"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _replaced(text: str, path: Path, name: str, part: str) -> str:
    """`text` with `part` between the markers of block `name`: HTML comments, or comment lines in .env.example."""
    is_markdown = path.suffix == ".md"
    begin, end = (
        (f"<!-- begin {name}: written by `make docs` -->", f"<!-- end {name} -->")
        if is_markdown
        else (f"# --- begin {name}: written by `make docs` ---", f"# --- end {name} ---")
    )
    before, found_begin, rest = text.partition(begin + "\n")
    _, found_end, after = rest.partition(end + "\n")
    if not found_begin or not found_end:
        raise DocumentError(f"{path}: the markers of the block {name!r} are missing: {begin} and {end}.")
    gap = "\n" if is_markdown else ""
    return f"{before}{begin}\n{gap}{part}\n{gap}{end}\n{after}"
