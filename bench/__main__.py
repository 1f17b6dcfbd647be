"""Runs measurements and keeps their figures.

    python -m bench [name ...] [--orders N]

Without names, all but random_schedules. Prints each figure beside the previous one, writes bench/results.json (a list
of name, value, unit, reach, holds), and exits with 1 if a figure is out of its reach.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import (
    Figure,
    creation,
    creation_speed,
    landing,
    publishing,
    random_schedules,
    recent_orders_page,
    scheduled_runs,
    shipment_calls,
    validation,
    validation_blocked,
    validation_idle,
)

RESULTS = Path(__file__).with_name("results.json")
# name -> what measures it; `orders` is how many finished orders are in the tables, where that matters.
MEASUREMENTS: dict[str, Callable[[int], list[Figure]]] = {
    "validation_idle": validation_idle.measure,
    "publishing": publishing.measure,
    "recent_orders_page": recent_orders_page.measure,
    "shipment_calls": shipment_calls.measure,
    "creation": creation.measure,
    "creation_speed": creation_speed.measure,
    "scheduled_runs": scheduled_runs.measure,
    "landing": landing.measure,
    "validation": validation.measure,
    "validation_blocked": validation_blocked.measure,
    "random_schedules": random_schedules.measure,
}
# Takes hours: only when it is named.
ON_REQUEST = {"random_schedules"}


def main() -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(MEASUREMENTS)}; default: all but random_schedules"
    )
    parser.add_argument("--orders", type=int, default=1_000_000, help="finished orders in the tables")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(MEASUREMENTS):
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    logging.getLogger("include").setLevel(logging.ERROR)
    previous = {row["name"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    found: list[Figure] = []
    for name in wanted.names or [name for name in MEASUREMENTS if name not in ON_REQUEST]:
        started = time.monotonic()
        print(f"==> {name}", flush=True)
        for figure in MEASUREMENTS[name](wanted.orders):
            found.append(figure)
            print(_line(figure, previous.get(figure.name, {}).get("value")), flush=True)
        print(f"    {time.monotonic() - started:.0f} s", flush=True)
    rows = previous | {figure.name: asdict(figure) | {"holds": figure.holds} for figure in found}
    RESULTS.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
    return 0 if all(figure.holds for figure in found) else 1


def _line(figure: Figure, before: float | None) -> str:
    reach = "" if figure.reach is None else f"reach {figure.reach:g} {'holds' if figure.holds else 'MISSED'}"
    earlier = "" if before is None else f"before {before:g}"
    return f"    {figure.name:86} {figure.value:>10g} {figure.unit:6} {earlier:16} {reach}"


if __name__ == "__main__":
    raise SystemExit(main())
