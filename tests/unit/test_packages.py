"""Units of a shipment shared out among its tracks: none lost, none doubled, even parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.domain.packages import share_out


def test_share_out_when_there_is_one_track() -> None:
    assert share_out({"a": 2, "b": 1}, ["t1"]) == {"t1": {"a": 2, "b": 1}}


def test_share_out_when_units_do_not_divide_evenly_gives_the_first_more() -> None:
    assert share_out({"a": 3, "b": 2}, ["t1", "t2"]) == {"t1": {"a": 3}, "t2": {"b": 2}}
    assert share_out({"a": 4, "b": 1}, ["t1", "t2"]) == {"t1": {"a": 3}, "t2": {"a": 1, "b": 1}}


def test_share_out_when_there_are_more_tracks_than_units_leaves_packages_empty() -> None:
    assert share_out({"a": 1}, ["t1", "t2"]) == {"t1": {"a": 1}, "t2": {}}


@pytest.mark.parametrize("units", [{}, {"a": 2}])
def test_share_out_when_there_is_no_track(units: dict[str, int]) -> None:
    assert share_out(units, []) == {}


@given(
    units=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 20), max_size=6),
    tracks=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
)
def test_share_out_when_shipments_are_random(units: dict[str, int], tracks: list[str]) -> None:
    packages = share_out(units, tracks)
    assert list(packages) == tracks
    for item_id, count in units.items():
        assert sum(package.get(item_id, 0) for package in packages.values()) == count
    sizes = [sum(package.values()) for package in packages.values()]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    assert all(count > 0 for package in packages.values() for count in package.values())
