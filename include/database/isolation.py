"""Finds what makes set-based work fail, by halving: one bad row delays only itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

Item = TypeVar("Item")

# Classes of SQLSTATE that no row is to blame for: connection, transaction, authorization, resources, locks, operator,
# system, configuration (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_NOT_THE_DATA = ("08", "25", "28", "2D", "3D", "40", "53", "55", "57", "58", "F0")
# Statement and schema do not fit, or a right is missing: a row is to blame only if others get through.
_PERHAPS_THE_DATA = ("42", "0A")
# So many that fail, without one that gets through, point to ourselves; and so many are enough to see it.
_SYSTEMATIC = 4
_ENOUGH = 100


def isolate(
    items: Sequence[Item],
    attempt: Callable[[Sequence[Item]], object],
    failure: type[Exception] = DBAPIError,
) -> list[tuple[Item, Exception]]:
    """Do `attempt` for all `items` and return those that fail, with their errors; all others are done.

    `attempt` does its part whole or not at all: in a savepoint or a transaction of its own. An item is to blame for an
    error of the class `failure`. Raises all other errors, those of the database for which no item is to blame (a lost
    connection, a lock, a lack of rights), and the first error when everything fails.
    """
    failures: list[tuple[Item, Exception]] = []
    done = 0

    def split(part: Sequence[Item]) -> None:
        nonlocal done
        try:
            attempt(part)
            done += len(part)
        except failure as error:
            if isinstance(error, DBAPIError) and not _may_be_the_data(error):
                raise
            if len(part) == 1:
                failures.append((part[0], error))
                if not done and len(failures) >= _ENOUGH:
                    raise
                return
        else:
            return
        middle = len(part) // 2
        split(part[:middle])
        split(part[middle:])

    if items:
        split(items)
    if failures and not done:
        first = failures[0][1]
        if len(items) >= _SYSTEMATIC or (isinstance(first, DBAPIError) and _class(first) in _PERHAPS_THE_DATA):
            raise first
    return failures


def describe(error: Exception) -> str:
    """An error as class and place, without values: they could be personal."""
    if not isinstance(error, DBAPIError):
        return type(error).__name__
    diagnostic = getattr(error.orig, "diag", None)
    places = [
        f"{name} {value}"
        for name in ("table", "column", "constraint")
        if (value := getattr(diagnostic, f"{name}_name", None))
    ]
    return ", ".join([f"{type(error.orig).__name__} (SQLSTATE {_state(error) or 'unknown'})", *places])


def _may_be_the_data(error: DBAPIError) -> bool:
    return not error.connection_invalidated and bool(_state(error)) and _class(error) not in _NOT_THE_DATA


def _class(error: DBAPIError) -> str:
    return _state(error)[:2]


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
