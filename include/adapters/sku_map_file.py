"""Reads a store's SKU map from a CSV file, with errors that name file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from include.domain.errors import MisconfiguredError
from include.domain.stores import Pack

MOST_UNITS = 10_000  # of a product in one pack; more is a mistake
_COLUMNS = ("seller_sku", "commerce_sku", "quantity")
_MOST_MISTAKES = 20  # that one error lists


def read_sku_map(path: Path, store_name: str) -> dict[str, Pack]:
    """What each seller SKU of the file is in the catalog. Raises MisconfiguredError with all that is wrong.

    The first line names the columns: seller_sku, commerce_sku and, unless every pack is one unit, quantity. Cells lose
    the spaces around them; lines without any text are skipped.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return _read(path, ((reader.line_num, [cell.strip() for cell in cells]) for cells in reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise MisconfiguredError(
            f"{path}: the SKU map of store {store_name} cannot be read ({reason}). Resolution: check sku_map_file in "
            "the stores file, and that the file is CSV in UTF-8."
        ) from error


def _read(path: Path, lines: Iterator[tuple[int, list[str]]]) -> dict[str, Pack]:
    _, header = next(lines, (1, []))
    if unknown := [name for name in header if name not in _COLUMNS]:
        raise _mistaken([f"{path}:1: {unknown[0]} is not a known column. Resolution: {_HEADER}."])
    if missing := [name for name in _COLUMNS[:2] if header.count(name) != 1]:
        raise _mistaken([f"{path}:1: {missing[0]} is missing or there twice. Resolution: {_HEADER}."])
    found: dict[str, Pack] = {}
    first: dict[str, int] = {}
    mistakes: list[str] = []
    for number, texts in lines:
        if not any(texts):
            continue
        row = dict(zip(header, texts, strict=False))
        problems = list(_problems(header, texts, row, first))
        mistakes += [f"{path}:{number}: {problem}." for problem in problems]
        if not problems:
            first[row["seller_sku"]] = number
            found[row["seller_sku"]] = Pack(row["commerce_sku"], int(row.get("quantity") or 1))
    if mistakes:
        raise _mistaken(mistakes)
    return found


_HEADER = f"let the first line be {','.join(_COLUMNS)}"


def _problems(header: list[str], texts: list[str], row: dict[str, str], first: dict[str, int]) -> Iterator[str]:
    if len(texts) != len(header):
        yield f"has {len(texts)} cells, the first line {len(header)}. Resolution: put texts with commas in quotes"
        return
    for name in _COLUMNS[:2]:
        if not row[name]:
            yield f"{name} is empty. Resolution: fill it in, or remove the line"
    quantity = row.get("quantity") or "1"
    if not (quantity.isascii() and quantity.isdigit() and 1 <= int(quantity) <= MOST_UNITS):
        yield f"quantity {quantity!r} is not allowed here. Resolution: use a whole number from 1 to {MOST_UNITS}"
    if row["seller_sku"] in first:
        before = first[row["seller_sku"]]
        yield f"seller_sku {row['seller_sku']!r} is the same as in line {before}. Resolution: keep one of them"


def _mistaken(mistakes: list[str]) -> MisconfiguredError:
    if len(mistakes) > _MOST_MISTAKES:
        mistakes[_MOST_MISTAKES:] = [f"... and {len(mistakes) - _MOST_MISTAKES} more."]
    return MisconfiguredError("\n".join(mistakes))
