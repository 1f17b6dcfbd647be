"""Measurements: `make bench` runs them all, prints every figure beside the previous one, and writes results.json."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value. `reach` is the largest value that we accept; None: nothing is promised yet."""

    name: str
    value: float
    unit: str
    reach: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value is within its reach."""
        return self.reach is None or self.value <= self.reach
