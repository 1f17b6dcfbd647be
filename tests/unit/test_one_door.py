"""`core.orders.pipeline_state` has one door: no other statement sets it, so that every move is in the history."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[2] / "include"
DOOR = INCLUDE / "outbox" / "pipeline_state.py"
MIGRATIONS = INCLUDE / "database" / "migrations"

# The column as the target of an update (PostgreSQL allows no qualified name there) or in the column list of an insert
# or copy; then the same through SQLAlchemy: as keyword or key of values(), or as key of a row.
_SETS_IT = re.compile(
    r"""
    (?: \bset\s+ | ,\s* ) "?pipeline_state"?\s* =
    | \bset\s* \( [^()]* \bpipeline_state\b
    | \b(?:insert\s+into|copy|merge\s+into)\s+ (?:core\.)?"?orders"? \b [^()]* \( [^()]* \bpipeline_state\b
    | \bvalues\( (?: [^()] | \([^()]*\) )* \bpipeline_state\s* =(?!=)
    | \bc\.pipeline_state\s* :
    | ["']pipeline_state["']\]?\s* (?: : | =(?!=) )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def test_no_statement_sets_the_pipeline_state_when_it_is_not_the_door() -> None:
    files = [path for path in INCLUDE.rglob("*") if path.suffix in (".py", ".sql") and MIGRATIONS not in path.parents]
    assert DOOR in files and len(files) > 50
    found = {path.relative_to(INCLUDE) for path in files if _SETS_IT.search(path.read_text(encoding="utf-8"))}
    # The published copy in reporting.recent_orders is no state of its own.
    found.discard(Path("steps/publish_recent_orders.sql"))
    assert found == {DOOR.relative_to(INCLUDE)}, "move orders with move_orders or move_selected"


@pytest.mark.parametrize(
    "statement",
    [
        "update core.orders as orders set pipeline_state = 'new' from core.stores",
        "update core.orders\nset\n    store_name = 'x',\n    pipeline_state = case when true then 'new' end",
        "update core.orders set (state_reason, pipeline_state) = ('', 'new')",
        "insert into core.orders as orders (\n    amazon_order_id, pipeline_state\n) select 1",
        "copy core.orders (amazon_order_id, pipeline_state) from stdin",
        "update(orders).where(orders.c.store_name == name()).values(loaded_at=now(), pipeline_state='new')",
        "update(orders).values({orders.c.pipeline_state: 'new'})",
        "connection.execute(insert(orders), [{'pipeline_state': 'new'}])",
        'row["pipeline_state"] = "new"',
    ],
)
def test_statement_is_found_when_it_sets_the_pipeline_state(statement: str) -> None:
    assert _SETS_IT.search(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select orders.pipeline_state, orders.store_name from core.orders where pipeline_state = 'new'",
        "case when pipeline_state = 'new' then 1 end",
        "insert into core.orders (amazon_order_id) select 1 from core.orders where orders.pipeline_state in ('new')",
        "select(orders).where(orders.c.pipeline_state == 'new')",
        "pipeline_state=row.pipeline_state",
    ],
)
def test_statement_is_not_found_when_it_only_reads_the_pipeline_state(statement: str) -> None:
    assert not _SETS_IT.search(statement)
