"""Shares out the units of one Commerce shipment among its tracking numbers: Amazon is told of one package per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def share_out(units: Mapping[str, int], track_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Which lines, and how many units of each, go into the package of each track.

    Commerce does not say which track carries what, and Amazon wants quantities per package that add up to what was
    shipped. So the units, in the order of `units` (Amazon item id -> units), are cut into as many even, contiguous
    parts as there are tracks, larger parts first. A track for which no unit is left gets an empty package.
    """
    flat = [item_id for item_id, count in units.items() for _ in range(count)]
    size, larger = divmod(len(flat), len(track_ids)) if track_ids else (0, 0)
    packages: dict[str, dict[str, int]] = {}
    start = 0
    for position, track_id in enumerate(track_ids):
        end = start + size + (1 if position < larger else 0)
        package: dict[str, int] = {}
        for item_id in flat[start:end]:
            package[item_id] = package.get(item_id, 0) + 1
        packages[track_id] = package
        start = end
    return packages
