"""`python -m include check`: checks the whole installation and prints one line per finding; the exit status is 1 when
something is wrong. `python -m include export`: writes the tables of `reporting` as Parquet files.

Both run where Airflow's own database can be reached, for its pools and for connections that are kept there.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from include.domain.errors import MisconfiguredError, OrdersError, explain

if TYPE_CHECKING:
    from include.steps.check_setup import Finding


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m include", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check")
    check.add_argument("--dry-run", action="store_true", help="ask neither Amazon nor a shop")
    export = commands.add_parser("export")
    export.add_argument("--folder", help="absolute path; default: ORDERS_EXPORT_FOLDER")
    export.add_argument("--tables", nargs="*", help="default: all")
    export.add_argument("--dry-run", action="store_true", help="count the rows, and write nothing")
    given = parser.parse_args(arguments)
    # As Airflow's own servers do: otherwise connections that are kept in its database are not found outside a task.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return _check(is_dry_run=given.dry_run) if given.command == "check" else _export(vars(given))


def _export(params: Mapping[str, Any]) -> int:
    from include.resources import Resources, utc_now
    from include.steps import export_reporting_tables as step

    try:
        with Resources() as setup:
            request = step.read_request(params, setup.settings)
            analyst, is_dry_run = setup.database("orders_db_analyst"), params["dry_run"]
            counts = step.run(analyst, request, is_dry_run=is_dry_run, now=utc_now(), dag_run_id="by hand")
    except (OrdersError, SQLAlchemyError) as error:
        print(explain(error) or f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    done = "Would write" if is_dry_run else "Wrote"
    print(f"{done} {counts['tables']} tables with {counts['rows']} rows to {request.folder / step.LATEST}.")
    return 0


def _check(*, is_dry_run: bool) -> int:
    counts = {"OK": 0, "PROBLEM": 0, "NOT CHECKED": 0}
    for finding in _findings(is_dry_run=is_dry_run):
        print(finding, flush=True)
        counts[finding.state] += 1
    print(f"{counts['OK']} OK, {counts['PROBLEM']} with a problem, {counts['NOT CHECKED']} not checked.")
    return 1 if counts["PROBLEM"] else 0


def _findings(*, is_dry_run: bool) -> Iterator[Finding]:
    from include.resources import Resources, utc_now
    from include.steps.check_setup import Finding, check, check_pools

    try:
        yield from check_pools(_pools())
    except SQLAlchemyError as error:
        words = (
            f"its database cannot be read ({type(error).__name__}). Resolution: check "
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN, and run airflow db migrate"
        )
        yield Finding("PROBLEM", "Airflow", words)
    try:
        with Resources() as setup:
            yield from check(setup, clock=utc_now, is_dry_run=is_dry_run)
    except MisconfiguredError as error:
        yield Finding("PROBLEM", "settings", str(error))


def _pools() -> dict[str, int]:
    """Airflow's pools with their slots, -1 for no limit."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    # Replaces what Airflow has just set up: standard output is for findings.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", force=True)
    with create_session() as session:
        return {str(pool.pool): pool.slots for pool in session.scalars(select(Pool))}


if __name__ == "__main__":
    sys.exit(main())
