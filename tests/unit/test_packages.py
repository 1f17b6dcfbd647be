"""Packages are planned from tracks, none lost and none doubled, and classified by what Amazon shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.domain.amazon_packages import AmazonOrderState, AmazonPackage
from include.domain.packages import (
    ALREADY_SHIPPED,
    REFUSED_QUANTITY,
    KnownPackage,
    SentPackage,
    Track,
    classify,
    plan_packages,
    share_out,
)


def test_one_package_gets_every_unit_when_there_is_one_track() -> None:
    assert share_out({"a": 2, "b": 1}, ["t1"]) == {"t1": {"a": 2, "b": 1}}


def test_first_packages_get_more_when_units_do_not_divide_evenly() -> None:
    assert share_out({"a": 3, "b": 2}, ["t1", "t2"]) == {"t1": {"a": 3}, "t2": {"b": 2}}
    assert share_out({"a": 4, "b": 1}, ["t1", "t2"]) == {"t1": {"a": 3}, "t2": {"a": 1, "b": 1}}


def test_packages_stay_empty_when_there_are_more_tracks_than_units() -> None:
    assert share_out({"a": 1}, ["t1", "t2"]) == {"t1": {"a": 1}, "t2": {}}


@pytest.mark.parametrize("units", [{}, {"a": 2}])
def test_no_package_is_made_when_there_is_no_track(units: dict[str, int]) -> None:
    assert share_out(units, []) == {}


@given(
    units=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 20), max_size=6),
    tracks=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
)
def test_no_unit_is_lost_or_doubled_when_shipments_are_random(units: dict[str, int], tracks: list[str]) -> None:
    packages = share_out(units, tracks)
    assert list(packages) == tracks
    for item_id, count in units.items():
        assert sum(package.get(item_id, 0) for package in packages.values()) == count
    sizes = [sum(package.values()) for package in packages.values()]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    assert all(count > 0 for package in packages.values() for count in package.values())


def track(track_id: str, number: str = "1Z") -> Track:
    return Track(track_id, "UPS", None, number)


def known(reference: str, track_id: str, units: dict[str, int], **changes: object) -> KnownPackage:
    values: dict[str, object] = {
        "reference_id": reference,
        "shipment_id": "7",
        "track_id": track_id,
        "carrier_code": "UPS",
        "carrier_name": None,
        "tracking_number": "1Z",
        "units": units,
        "is_skipped": False,
        "error_code": None,
    }
    return KnownPackage(**(values | changes))  # type: ignore[arg-type]


def test_new_tracks_share_what_is_left_when_one_is_known() -> None:
    plan = plan_packages("7", {"a": 3}, [track("t1"), track("t2")], [known("4", "t1", {"a": 2})], [])
    assert [(package.reference_id, package.units) for package in plan.new] == [("5", {"a": 1})]
    assert (plan.changed, plan.followed, plan.dropped) == ({}, {}, [])


def test_package_is_changed_when_its_track_was_corrected() -> None:
    plan = plan_packages("7", {"a": 1}, [track("t1", "2Z")], [known("1", "t1", {"a": 1})], [])
    assert {reference: changed.tracking_number for reference, changed in plan.changed.items()} == {"1": "2Z"}
    assert plan.new == []


def test_package_is_taken_over_when_its_track_was_replaced() -> None:
    plan = plan_packages("7", {"a": 1}, [track("t2", "2Z")], [known("1", "t1", {"a": 1})], [])
    assert (plan.followed, list(plan.changed), plan.new) == ({"1": "t2"}, ["1"], [])


def test_empty_package_gives_way_when_the_other_track_leaves() -> None:
    empty = known("2", "t2", {}, is_skipped=True, error_code="no_units_left")
    plan = plan_packages("7", {"a": 1}, [track("t2")], [known("1", "t1", {"a": 1}), empty], [])
    assert (plan.dropped, plan.followed, plan.new) == (["2"], {"1": "t2"}, [])


def test_package_is_skipped_when_amazon_confirms_it_itself() -> None:
    plan = plan_packages("7", {"a": 1}, [track("t1")], [], ["FBM_SHIP_PLUS"])
    assert [package.skipped and package.skipped[0] for package in plan.new] == ["ship_plus"]


SENT = SentPackage("1", "1Z", is_in_doubt=False, sends=1, reads=1, error_code=None)


@pytest.mark.parametrize(
    ("package", "shown", "status", "outcome"),
    [
        (SENT, [AmazonPackage("1", "1Z")], "UNSHIPPED", "accepted"),
        (SENT, [AmazonPackage("1")], "UNSHIPPED", "accepted"),
        (SENT, [AmazonPackage("1", "other")], "UNSHIPPED", "waiting"),
        (SENT, [AmazonPackage("2", "1Z")], "UNSHIPPED", "waiting"),
        (SentPackage("1", "1z 9-9", False, 1, 1, None), [AmazonPackage("1", "1Z99")], "UNSHIPPED", "accepted"),
        (SentPackage("1", "1Z99", False, 1, 1, None), [AmazonPackage("1", "1z-9 9")], "UNSHIPPED", "accepted"),
        (SentPackage("1", "1Z", True, 1, 1, None), [], "UNSHIPPED", "sent_again"),
        (SentPackage("1", "1Z", True, 2, 1, None), [], "UNSHIPPED", "sent_again"),
        (SentPackage("1", "1Z", True, 3, 1, None), [], "UNSHIPPED", "waiting"),
        (SentPackage("1", "1Z", True, 3, 2, None), [], "UNSHIPPED", "sent_again"),
        (SentPackage("1", "1Z", True, 11, 10, None), [], "UNSHIPPED", "rejected"),
        (SentPackage("1", "1Z", False, 1, 2, None), [], "UNSHIPPED", "waiting"),
        (SentPackage("1", "1Z", False, 1, 10, None), [], "UNSHIPPED", "sent_again"),
        (SentPackage("1", "1Z", False, 3, 10, None), [], "UNSHIPPED", "rejected"),
        (SentPackage("1", "1Z", True, 1, 1, ALREADY_SHIPPED), [], "SHIPPED", "rejected"),
        (SentPackage("1", "1Z", True, 1, 1, ALREADY_SHIPPED), [], "UNSHIPPED", "sent_again"),
    ],
)
def test_package_is_classified_by_what_amazon_shows_when_it_is_read_back(
    package: SentPackage, shown: list[AmazonPackage], status: str, outcome: str
) -> None:
    assert classify(package, AmazonOrderState("1", status, tuple(shown)), most_reads=10).outcome == outcome


@pytest.mark.parametrize(
    ("sends", "left", "outcome", "units"),
    [
        (1, {"a": 1, "b": 5}, "sent_again", {"a": 1, "b": 1}),
        (1, {"a": 0, "b": 1}, "sent_again", {"b": 1}),
        (1, {"a": 2, "b": 1}, "sent_again", {"a": 2, "b": 1}),
        (3, {"a": 2, "b": 1}, "rejected", None),
        (1, {"a": 0}, "rejected", None),
        (1, {}, "waiting", None),
    ],
)
def test_package_gets_what_amazon_has_left_when_its_quantities_were_refused(
    sends: int, left: dict[str, int], outcome: str, units: dict[str, int] | None
) -> None:
    package = SentPackage("1", "1Z", True, sends, 1, REFUSED_QUANTITY, {"a": 2, "b": 1})
    seen = classify(package, AmazonOrderState("1", "PARTIALLY_SHIPPED", (), left), most_reads=10)
    assert (seen.outcome, seen.units) == (outcome, units)


def test_package_is_skipped_when_amazon_fulfills_the_order() -> None:
    plan = plan_packages("7", {"a": 1}, [track("t1")], [], [], is_amazon_fulfilled=True)
    assert [package.skipped and package.skipped[0] for package in plan.new] == ["amazon_fulfilled"]
