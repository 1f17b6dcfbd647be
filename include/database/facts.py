"""Writes the dimensions and facts of `reporting`: only rows that differ, set-based, in the caller's transaction.

The .sql file beside it says what each row is made from. publish_recent_orders calls it for the orders that changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, TextClause, text

from include.database.statements import load_statements
from include.database.tables.facts import DIMENSIONS, FACTS
from include.domain.blockers import BLOCKER_CODES
from include.domain.marketplaces import MARKETPLACES
from include.domain.statuses import ALLOWED_CHANGES, CANCELED_STATUSES, SHIPPABLE_STATUSES, SHIPPED

_PROVENANCE = ("loaded_at", "dag_run_id")
# What the queries know of statuses.
_STATUSES: dict[str, Any] = {
    "canceled_statuses": sorted(CANCELED_STATUSES),
    "released_statuses": sorted(SHIPPABLE_STATUSES),
    "shipped_status": SHIPPED,
    "known_codes": sorted(f"{system} {code}" for system, changes in ALLOWED_CHANGES.items() for code in changes),
    "allowed_changes": sorted(
        f"{system} {before} {after}"
        for system, changes in ALLOWED_CHANGES.items()
        for before, allowed in changes.items()
        for after in allowed
    ),
}
_KNOWN: dict[str, Any] = {
    "marketplace_ids": [row.marketplace_id for row in MARKETPLACES.values()],
    "country_codes": [row.country_code for row in MARKETPLACES.values()],
    "regions": [row.region for row in MARKETPLACES.values()],
    "currency_codes": [row.currency_code for row in MARKETPLACES.values()],
    "time_zones": [row.time_zone for row in MARKETPLACES.values()],
    "prices_include_tax": [row.prices_include_tax for row in MARKETPLACES.values()],
    "blocker_codes": [row.code for row in BLOCKER_CODES.values()],
    "severities": [row.severity for row in BLOCKER_CODES.values()],
    "titles": [row.title for row in BLOCKER_CODES.values()],
    "remedies": [row.remedy for row in BLOCKER_CODES.values()],
}
_UPSERT = """
    with wanted as materialized ({query}),
    gone as (
        delete from {table} as old
        where {of_these} and not exists (select from wanted where {same_key})
    )
    insert into {table} as old ({columns})
    select {names}, :now, :dag_run_id
    from wanted
    on conflict ({keys}) do update
    set ({written}) = row({new_written})
    where ({old}) is distinct from ({new})
"""


def fact_rules() -> str:
    """All that a row depends on besides what is known of its order; when it changes, all orders are published again."""
    return "\n".join(_upsert(table).text for table in FACTS) + f"{_STATUSES} {list(MARKETPLACES.values())}"


def write_dimensions(connection: Connection, values: Mapping[str, Any]) -> None:
    """Bring the dimensions up to date. `values`: now, dag_run_id and at_risk_hours."""
    for table in DIMENSIONS:
        connection.execute(*prepared(table, values))


def write_facts(connection: Connection, order_ids: Sequence[str], values: Mapping[str, Any]) -> int:
    """Bring all facts of these orders up to date and return how many rows were written. `values`: now, dag_run_id.

    Their rows of reporting.recent_orders are written before.
    """
    everything = {**values, "order_ids": list(order_ids)}
    return sum(connection.execute(*prepared(table, everything)).rowcount for table in FACTS)


def prepared(table: Table, values: Mapping[str, Any]) -> tuple[TextClause, dict[str, Any]]:
    """The statement that writes a table, and its parameters: those of `values` and what is known beforehand."""
    statement = _upsert(table)
    known = {**_STATUSES, **_KNOWN, **values}
    return statement, {name: known[name] for name in statement._bindparams}


@cache
def _upsert(table: Table) -> TextClause:
    """The statement that makes a table's rows what its query says, of the given orders or, for a dimension, of all."""
    keys = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns if column.name not in _PROVENANCE]
    others = [name for name in names if name not in keys]
    written = [*others, *_PROVENANCE]
    return text(
        _UPSERT.format(
            table=table.fullname,
            query=load_statements(__file__)[table.name].text,
            of_these="old.amazon_order_id = any(cast(:order_ids as text[]))" if table in FACTS else "true",
            same_key=" and ".join(f"wanted.{name} = old.{name}" for name in keys),
            keys=", ".join(keys),
            names=", ".join(names),
            columns=", ".join([*names, *_PROVENANCE]),
            written=", ".join(written),
            new_written=", ".join(f"excluded.{name}" for name in written),
            old=", ".join(f"old.{name}" for name in others),
            new=", ".join(f"excluded.{name}" for name in others),
        )
    )
