"""Lines of Commerce orders that people entered match Amazon's only where nothing else fits."""

from __future__ import annotations

import pytest

from include.domain.line_matching import Ordered, match_lines

TRAYS, MAT = ("tray", 2), ("mat", 1)


@pytest.mark.parametrize(
    ("wanted", "lines", "matched"),
    [
        ({"a": TRAYS, "b": MAT}, {"1": MAT, "2": TRAYS}, {"a": "2", "b": "1"}),
        ({"a": TRAYS}, {"1": ("tray", 3)}, {}),
        ({"a": TRAYS}, {"1": TRAYS, "2": TRAYS}, {}),
        ({"a": TRAYS, "b": TRAYS}, {"1": TRAYS, "2": TRAYS}, {}),
        ({"a": TRAYS, "b": ("tray", 1)}, {"1": TRAYS, "2": ("tray", 1)}, {"a": "1", "b": "2"}),
        ({"a": TRAYS}, {}, {}),
        ({}, {"1": TRAYS}, {}),
    ],
)
def test_only_single_pairs_match_when_product_and_quantity_are_equal(
    wanted: dict[str, Ordered], lines: dict[str, Ordered], matched: dict[str, str]
) -> None:
    assert match_lines(wanted, lines) == matched
