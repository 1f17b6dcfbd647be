"""The one MetaData of the orders database, and the short forms in which its tables are written.

Every table and column has a comment: analysts see them, `docs/data-dictionary.md` is generated from them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Computed, DateTime, Integer, MetaData, Numeric, Text
from sqlalchemy.types import TypeEngine

SCHEMAS: dict[str, str] = {
    "raw": "What the other systems sent, version by version, without personal data.",
    "pii": "Personal data, encrypted, one row per order; nothing else needs it and it can be deleted on its own.",
    "core": "The same facts in our words and types.",
    "ops": "What is to be sent to Amazon and Commerce, what they answered, and how the runs went.",
    "reporting": "What people look at: no personal data, stable names.",
}

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _column(name: str, kind: TypeEngine[Any], comment: str, *constraints: Any, **options: Any) -> Column[Any]:
    if not options.get("primary_key"):
        options.setdefault("nullable", False)
    return Column(name, kind, *constraints, comment=comment, **options)


def text(name: str, comment: str, *constraints: Any, **options: Any) -> Column[Any]:
    """A text column, not null unless `nullable=True`."""
    return _column(name, Text(), comment, *constraints, **options)


def timestamp(name: str, comment: str, **options: Any) -> Column[Any]:
    """A timestamptz column (UTC), not null unless `nullable=True`."""
    return _column(name, DateTime(timezone=True), comment, **options)


def amount(name: str, comment: str, **options: Any) -> Column[Any]:
    """A numeric(20,4) amount of money, null where Amazon gives none; its currency is in `currency_code` beside it."""
    options.setdefault("nullable", True)
    return _column(name, Numeric(20, 4), comment, **options)


def quantity(name: str, comment: str, **options: Any) -> Column[Any]:
    """A numeric(12,4) quantity (Commerce sells fractions), not null unless `nullable=True`."""
    return _column(name, Numeric(12, 4), comment, **options)


def count(name: str, comment: str, **options: Any) -> Column[Any]:
    """An integer count, 0 by default."""
    options.setdefault("server_default", "0")
    return _column(name, Integer(), comment, **options)


def flag(name: str, comment: str, **options: Any) -> Column[Any]:
    """A boolean, false by default."""
    options.setdefault("server_default", "false")
    return _column(name, Boolean(), comment, **options)


def computed_flag(name: str, expression: str, comment: str) -> Column[Any]:
    """A boolean that the database computes from the other columns of the row, and stores."""
    return _column(name, Boolean(), comment, Computed(expression, persisted=True))


def number(name: str, comment: str, *constraints: Any, **options: Any) -> Column[Any]:
    """A bigint, not null unless `nullable=True`."""
    return _column(name, BigInteger(), comment, *constraints, **options)


def typed(name: str, kind: TypeEngine[Any], comment: str, **options: Any) -> Column[Any]:
    """A column of any other type, not null unless `nullable=True`."""
    return _column(name, kind, comment, **options)
