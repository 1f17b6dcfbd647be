"""Writes tables of `reporting` as Parquet files: every type exact, and never more than one row group in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv, parquet
from sqlalchemy import Boolean, Column, Date, DateTime, Integer, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from include.database import tables

ROWS_AT_ONCE = 65_536  # one row group: 30 MB of text for the widest table
# Table -> the column that has the day or moment of the purchase; each of them has an index.
MONTH_OF = {"fct_orders": "purchased_on", "fct_order_items": "purchased_on", "recent_orders": "purchased_at"}

_MONTHS = """
with recursive months as (
    select date_trunc('month', min({day})) as month from {table}
    union all
    select (select date_trunc('month', min({day})) from {table} where {day} >= months.month + interval '1 month')
    from months where months.month is not null
)

select cast(month as date) from months where month is not null
"""
_COPY = "copy (select {columns} from {table} where {condition}) to stdout (format csv)"
_IN_MONTH = "{day} >= {month} and {day} < {month} + interval '1 month'"
# Whatever the role or the database has set otherwise: one snapshot, no time limit, days that can be read.
_PREPARE = (
    "set transaction isolation level repeatable read, read only",
    "set local statement_timeout = 0",
    "set local datestyle = 'ISO, YMD'",
    "set local timezone = 'UTC'",
)


def reporting_tables() -> dict[str, Table]:
    """The tables of `reporting` by name, dimensions first, then facts."""
    return {table.name: table for table in tables.metadata.sorted_tables if table.schema == "reporting"}


def begin_snapshot(connection: psycopg.Connection[Any]) -> None:
    """Begin a transaction in which all tables are read as they are at this moment."""
    for statement in _PREPARE:
        connection.execute(statement)


def count_rows(connection: psycopg.Connection[Any], table: Table) -> int:
    """How many rows the table has."""
    row = connection.execute(sql.SQL("select count(*) from {table}").format(table=_name(table))).fetchone()
    return row[0] if row else 0


def write_table(connection: psycopg.Connection[Any], table: Table, folder: Path) -> int:
    """Write the table into the new folder, one file for each month of purchase if it has one. Returns the rows.

    The file of a month is `purchase_month=2026-11/part-0.parquet`, which readers understand as a column.
    """
    folder.mkdir()
    if table.name not in MONTH_OF:
        return _write_file(connection, table, sql.SQL("true"), folder)
    day = sql.Identifier(MONTH_OF[table.name])
    months = connection.execute(sql.SQL(_MONTHS).format(day=day, table=_name(table))).fetchall()
    if not months:  # readers still find the columns
        return _write_file(connection, table, sql.SQL("true"), folder)
    rows = 0
    for (month,) in months:
        part = folder / f"purchase_month={month:%Y-%m}"
        part.mkdir()
        condition = sql.SQL(_IN_MONTH).format(day=day, month=sql.Literal(month))
        rows += _write_file(connection, table, condition, part)
    return rows


def _write_file(connection: psycopg.Connection[Any], table: Table, condition: sql.Composable, folder: Path) -> int:
    rows = 0
    path = folder / "part-0.parquet"
    with parquet.ParquetWriter(path, _schema(table), compression="zstd") as writer:
        for group in _read(connection, table, condition):
            writer.write_table(group)
            rows += group.num_rows
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return rows


def _read(connection: psycopg.Connection[Any], table: Table, condition: sql.Composable) -> Iterator[pa.Table]:
    columns = sql.SQL(", ").join(_selected(column) for column in table.columns)
    statement = sql.SQL(_COPY).format(columns=columns, table=_name(table), condition=condition)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        lines: list[bytes] = []
        for line in copy:  # PostgreSQL sends one row at a time
            lines.append(bytes(line))
            if len(lines) == ROWS_AT_ONCE:
                yield _parsed(lines, table)
                lines.clear()
        if lines:
            yield _parsed(lines, table)


def _parsed(lines: list[bytes], table: Table) -> pa.Table:
    """Rows of COPY's CSV, in which an empty text is quoted and null is not."""
    schema = _schema(table)
    plain = pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])
    found = csv.read_csv(
        pa.BufferReader(b"".join(lines)),
        read_options=csv.ReadOptions(column_names=plain.names),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=plain,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    arrays = [_listed(found[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _listed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Lists come as one text; there are few different ones."""
    if not pa.types.is_list(kind):
        return column
    encoded = column.combine_chunks().dictionary_encode()
    lists = [text.split("\x1f") if text else [] for text in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(lists, kind).take(encoded.indices)])


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_list(kind) else kind


def _selected(column: Column[Any]) -> sql.Composable:
    name = sql.Identifier(column.name)
    if isinstance(column.type, ARRAY):
        return sql.SQL("array_to_string({name}, E'\\x1f')").format(name=name)
    return name


def _name(table: Table) -> sql.Composable:
    return sql.Identifier(str(table.schema), table.name)


def _schema(table: Table) -> pa.Schema:
    return pa.schema([pa.field(column.name, _kind(column), bool(column.nullable)) for column in table.columns])


def _kind(column: Column[Any]) -> pa.DataType:
    """The Parquet type that holds every value of the column."""
    match column.type:
        case Text():
            return pa.string()
        case DateTime(timezone=True):
            return pa.timestamp("us", tz="UTC")
        case Date():
            return pa.date32()
        case Numeric(precision=int(precision), scale=int(scale)):
            return pa.decimal128(precision, scale)
        case BigInteger():
            return pa.int64()
        case Integer():
            return pa.int32()
        case Boolean():
            return pa.bool_()
        case ARRAY(item_type=Text()):
            return pa.list_(pa.string())
        case other:
            raise TypeError(f"{column} is {other}, for which there is no Parquet type here.")
