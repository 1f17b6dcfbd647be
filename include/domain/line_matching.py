"""Which line of a Commerce order is which line of an Amazon order, when nothing but product and quantity tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

Ordered = tuple[str, int]
"""A product and how many units of it a line orders."""


def match_lines(wanted: Mapping[str, Ordered], lines: Mapping[str, Ordered]) -> dict[str, str]:
    """Amazon's item ids -> Commerce's, for lines of which each side has exactly one with this product and quantity."""
    on_amazon, in_commerce = _by_content(wanted), _by_content(lines)
    return {
        item_ids[0]: in_commerce[ordered][0]
        for ordered, item_ids in on_amazon.items()
        if len(item_ids) == 1 and len(in_commerce.get(ordered, ())) == 1
    }


def _by_content(lines: Mapping[str, Ordered]) -> dict[Ordered, list[str]]:
    found = defaultdict(list)
    for item_id, ordered in lines.items():
        found[ordered].append(item_id)
    return dict(found)
