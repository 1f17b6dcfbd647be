"""Exports the tables of `reporting` as Parquet files: a complete new export, or the previous one.

In the folder, `latest` is a link to the newest complete export. An export is written under a hidden name and gets its
place when it is complete, so no reader sees half of one. The one before stays for those who still read it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine

from include.database.parquet import begin_snapshot, count_rows, reporting_tables, write_table
from include.domain.errors import MisconfiguredError, UnavailableError
from include.settings import Settings

log = logging.getLogger(__name__)

LATEST = "latest"
CONTENT = "export.json"  # what the export contains; also what marks a folder as ours
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Request:
    """What to export and where to."""

    folder: Path
    tables: tuple[str, ...]


def read_request(params: Mapping[str, Any], settings: Settings) -> Request:
    """The params `folder` and `tables`, checked. Raises MisconfiguredError for a wrong one."""
    folder = params.get("folder") or settings.export_folder
    if not Path(folder).is_absolute():
        raise MisconfiguredError(f"The folder {folder!r} is not an absolute path. Resolution: give one.")
    known = list(reporting_tables())
    wanted = params.get("tables") or known
    if unknown := sorted(set(wanted) - set(known)):
        raise MisconfiguredError(
            f"The param tables names {', '.join(unknown)}. Resolution: use tables of reporting: {', '.join(known)}."
        )
    return Request(Path(folder), tuple(name for name in known if name in wanted))


def run(engine: Engine, request: Request, *, is_dry_run: bool, now: datetime, dag_run_id: str) -> dict[str, int]:
    """Export the tables as they are at one moment. Returns how many tables and rows.

    `engine` is that of the role `analyst`, which sees nothing but `reporting`. Tables that are not asked for are taken
    over from the previous export. With `is_dry_run` the rows are counted and nothing is written.
    """
    if is_dry_run:
        return _count(engine, request)
    folder = request.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            previous = _previous(folder)
            content = _taken_over(previous, request)
            unfinished = folder / _UNFINISHED
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            for name in content:
                shutil.copytree(folder / LATEST / name, unfinished / name, copy_function=_link)
            written = _write(engine, request, unfinished)
            exported = {"exported_at": now.isoformat(), "dag_run_id": dag_run_id}
            content |= {name: {"rows": rows, **exported} for name, rows in written.items()}
            (unfinished / CONTENT).write_text(json.dumps({"tables": content}, indent=1) + "\n", encoding="utf-8")
            _publish(folder, now, previous)
    except OSError as error:
        raise UnavailableError(
            f"The folder {folder} cannot be written: {error.strerror or error}. Resolution: check its rights and the "
            "free space; readers see the previous export, and the run is tried again."
        ) from error
    counts = {"tables": len(written), "rows": sum(written.values())}
    log.info("export_reporting_tables: tables=%d rows=%d folder=%s", counts["tables"], counts["rows"], folder)
    return counts


@contextmanager
def _snapshot(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that sees one moment; it writes nothing."""
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        try:
            begin_snapshot(raw)
            yield raw
        except psycopg.OperationalError as error:
            raise UnavailableError(
                f"The orders database broke off: {str(error).strip()}. Resolution: none needed yet, it is tried again; "
                "readers see the previous export."
            ) from error
        finally:
            if not raw.closed:
                raw.rollback()


def _count(engine: Engine, request: Request) -> dict[str, int]:
    known = reporting_tables()
    with _snapshot(engine) as connection:
        rows = {name: count_rows(connection, known[name]) for name in request.tables}
    for name, number in rows.items():
        log.info("export_reporting_tables: dry run, table=%s rows=%d would be written", name, number)
    return {"tables": len(rows), "rows": sum(rows.values())}


def _write(engine: Engine, request: Request, folder: Path) -> dict[str, int]:
    known = reporting_tables()
    written = {}
    with _snapshot(engine) as connection:
        for name in request.tables:
            written[name] = write_table(connection, known[name], folder / name)
            log.info("export_reporting_tables: table=%s rows=%d", name, written[name])
    return written


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One export at a time. The lock ends with the process, however that ends."""
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                f"Another export writes to {folder}. Resolution: none needed, it is tried again."
            ) from None
        yield


def _previous(folder: Path) -> str | None:
    """Name of the export that `latest` leads to. Raises MisconfiguredError if `latest` is something else."""
    link = folder / LATEST
    if link.is_symlink():
        return os.readlink(link) if (link / CONTENT).exists() else None
    if link.exists():
        raise MisconfiguredError(f"{link} is not a link of an export. Resolution: choose another folder, or remove it.")
    return None


def _taken_over(previous: str | None, request: Request) -> dict[str, Any]:
    """What the previous export says of the tables that are not written this time."""
    if previous is None:
        return {}
    content = json.loads((request.folder / previous / CONTENT).read_text(encoding="utf-8"))["tables"]
    others = [name for name in reporting_tables() if name not in request.tables]
    return {name: content[name] for name in others if name in content}


def _link(source: str, target: str) -> None:
    """The same file under another name; a copy where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _publish(folder: Path, now: datetime, previous: str | None) -> None:
    """Give the complete export its name, lead `latest` to it, and remove what nobody reads any more."""
    names = (f"{now:%Y%m%dT%H%M%SZ}{suffix}" for suffix in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
    name = next(name for name in names if not (folder / name).exists())
    (folder / _UNFINISHED).rename(folder / name)
    link = folder / f".{LATEST}"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(folder / LATEST)
    for other in folder.iterdir():
        if other.name not in (name, previous, LATEST) and (other / CONTENT).is_file():
            shutil.rmtree(other)
