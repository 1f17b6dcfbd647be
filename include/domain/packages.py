"""Packages of one order: planned from the tracks of its Commerce shipments, and classified by what Amazon shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from include.domain.amazon_packages import AmazonOrderState
from include.domain.statuses import SHIPPED

# Orders of this program are confirmed by Amazon itself.
SHIP_PLUS = "FBM_SHIP_PLUS"
# Amazon's code when it has every unit already: another channel confirmed the order, or an earlier attempt of ours did.
ALREADY_SHIPPED = "PackageToUpdateNotFound"
# A package that was sent this often and that Amazon still does not show needs a person.
MOST_SENDS = 3
# Our code when Amazon refused a package because of the units in it.
REFUSED_QUANTITY = "refused_quantity"


@dataclass(frozen=True)
class Track:
    """One tracking number of a Commerce shipment, with Amazon's carrier code; the name is for the code Other.

    `shipping_method` is the carrier's own; None: that of the order.
    """

    track_id: str
    carrier_code: str
    carrier_name: str | None
    tracking_number: str
    shipping_method: str | None = None


@dataclass(frozen=True)
class KnownPackage:
    """One package that was planned before. `units` maps an Amazon item id to the units in it."""

    reference_id: str
    shipment_id: str
    track_id: str
    carrier_code: str
    carrier_name: str | None
    tracking_number: str
    units: Mapping[str, int]
    is_skipped: bool
    error_code: str | None


@dataclass(frozen=True)
class NewPackage:
    """A package to plan. `skipped` is code and sentence if Amazon is not to get it, else None."""

    reference_id: str
    track: Track
    units: Mapping[str, int]
    skipped: tuple[str, str] | None


@dataclass(frozen=True)
class ShippedLine:
    """Units of one line in one shipment, as Commerce counts them. On Amazon `pack_units` of them are one unit.

    `planned_qty` are those of all shipments of which the packages are planned, with this one.
    """

    qty: int
    pack_units: int
    planned_qty: int


def whole_packs(
    shipment_id: str, lines: Mapping[str, ShippedLine], known: Sequence[KnownPackage]
) -> dict[str, int] | None:
    """Amazon's units (Amazon item id -> units) that this shipment completes. `known` are all packages of the order.

    A pack counts for the shipment that brings its last part. None: parts of packs are all that the shipment holds.
    """
    units: dict[str, int] = {}
    for item_id, line in lines.items():
        if line.pack_units == 1:
            units[item_id] = line.qty
            continue
        others = [package for package in known if package.shipment_id != shipment_id and not package.is_skipped]
        left = line.planned_qty // line.pack_units - sum(package.units.get(item_id, 0) for package in others)
        whole = min(left, -(-line.qty // line.pack_units))
        if whole > 0:
            units[item_id] = whole
    return units if units or not lines else None


@dataclass
class PackagePlan:
    """What becomes of the packages of one shipment. Packages are named by their reference."""

    dropped: list[str] = field(default_factory=list)  # empty packages that give way to another
    followed: dict[str, str] = field(default_factory=dict)  # reference -> the track that takes the package over
    changed: dict[str, Track] = field(default_factory=dict)  # reference -> the track as it is now
    new: list[NewPackage] = field(default_factory=list)


def plan_packages(
    shipment_id: str,
    units: Mapping[str, int],
    tracks: Sequence[Track],
    known: Sequence[KnownPackage],
    programs: Sequence[str],
    *,
    is_amazon_fulfilled: bool = False,
) -> PackagePlan:
    """Plan the packages of one shipment, which holds `units` (Amazon item id -> units).

    `known` are all packages of the order. Known tracks keep their package, a track in another's place takes over its
    package (Commerce's admin pages cannot edit a track, only delete it and add another; Amazon gets the correction
    under the package's own reference), and new tracks share what is left of the units.
    """
    plan = PackagePlan()
    by_track = {package.track_id: package for package in known if package.shipment_id == shipment_id}
    _follow_replaced_tracks(plan, by_track, [track.track_id for track in tracks])
    left = dict(units)
    for package in by_track.values():
        for item_id, count in package.units.items() if not package.is_skipped else ():
            left[item_id] = left.get(item_id, 0) - count
    left = {item_id: count for item_id, count in left.items() if count > 0}
    shares = share_out(left, [track.track_id for track in tracks if track.track_id not in by_track])
    number = max((int(package.reference_id) for package in known), default=0)
    for track in tracks:
        if track.track_id in by_track:
            package = by_track[track.track_id]
            before = (package.carrier_code, package.carrier_name, package.tracking_number)
            if before != (track.carrier_code, track.carrier_name, track.tracking_number):
                plan.changed[package.reference_id] = track
            continue
        number += 1
        skipped = _why_skipped(
            shipment_id, units, shares[track.track_id], programs, is_amazon_fulfilled=is_amazon_fulfilled
        )
        plan.new.append(NewPackage(str(number), track, shares[track.track_id], skipped))
    return plan


def _follow_replaced_tracks(plan: PackagePlan, by_track: dict[str, KnownPackage], track_ids: Sequence[str]) -> None:
    """Give the packages of tracks that left to the tracks that came."""
    left = [package for track_id, package in by_track.items() if track_id not in track_ids and not package.is_skipped]
    # A track that was added before the other left had found no unit; its empty package gives way.
    spare = {t for t, package in by_track.items() if t in track_ids and package.error_code == "no_units_left"}
    came = [track_id for track_id in track_ids if track_id not in by_track or track_id in spare]
    for package, track_id in zip(sorted(left, key=lambda package: int(package.reference_id)), came, strict=False):
        if track_id in spare:
            plan.dropped.append(by_track.pop(track_id).reference_id)
        plan.followed[package.reference_id] = track_id
        by_track[track_id] = by_track.pop(package.track_id)


def _why_skipped(
    shipment_id: str,
    shipped: Mapping[str, int],
    units: Mapping[str, int],
    programs: Sequence[str],
    *,
    is_amazon_fulfilled: bool,
) -> tuple[str, str] | None:
    if is_amazon_fulfilled:
        return "amazon_fulfilled", "Amazon fulfills this order and confirms its shipments itself; nothing to do."
    if SHIP_PLUS in programs:
        return "ship_plus", "Ship+ orders are confirmed by Amazon itself; nothing to do."
    if not shipped:
        return (
            "lines_not_matched",
            f"No product of shipment {shipment_id} is matched to a line on Amazon; confirm it in Seller Central.",
        )
    if not units:
        return (
            "no_units_left",
            f"Shipment {shipment_id} has more tracking numbers than units; Amazon takes one package per unit at the "
            "most. Add this number in Seller Central if the buyer needs it.",
        )
    return None


def share_out(units: Mapping[str, int], track_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Which lines, and how many units of each, go into the package of each track.

    Commerce does not report which track carries what, and Amazon wants quantities per package that add up to what was
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


@dataclass(frozen=True)
class SentPackage:
    """A package that was sent to Amazon and not seen there yet. `reads` counts the reads without it, this one too.

    `units` maps an Amazon item id to the units in it.
    """

    reference_id: str
    tracking_number: str
    is_in_doubt: bool
    sends: int
    reads: int
    error_code: str | None
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a package is after Amazon was read. `code` and `message` say why; None where all is well.

    `units`: what it holds from now on; None: the same.
    """

    outcome: Literal["accepted", "waiting", "sent_again", "rejected"]
    code: str | None = None
    message: str | None = None
    units: Mapping[str, int] | None = None


def classify(package: SentPackage, order: AmazonOrderState, most_reads: int) -> Seen:
    """What a sent package is, given what Amazon shows of its order.

    A package in doubt is sent again after the first read without it, and each time that this fails one read later;
    another one after `most_reads`. It goes under the same reference, which changes the same package on Amazon, so that
    a repeat does no harm even if Amazon has it by now.
    """
    for shown in order.packages:
        is_ours = shown.package_reference_id == package.reference_id
        if is_ours and is_same_number(shown.tracking_number or package.tracking_number, package.tracking_number):
            return Seen("accepted")
    if order.amazon_status == SHIPPED and package.error_code == ALREADY_SHIPPED:
        message = "Amazon had the whole order as shipped before this package was sent; check it in Seller Central."
        return Seen("rejected", package.error_code, message)
    if package.error_code == REFUSED_QUANTITY:
        return _with_units_left(package, order, most_reads)
    if package.sends >= MOST_SENDS and package.reads >= most_reads:
        message = f"Amazon does not show the package, though it was sent {package.sends} times; check Seller Central."
        return Seen("rejected", "not_found", message)
    if package.reads >= (max(1, package.sends - 1) if package.is_in_doubt else most_reads):
        reads = "1 read" if package.reads == 1 else f"{package.reads} reads"
        message = f"Amazon does not show the package after {reads}; it is sent again as the same package."
        return Seen("sent_again", "not_found", message)
    return Seen("waiting")


def is_settled(packages: Sequence[SentPackage], order: AmazonOrderState) -> bool:
    """Whether Amazon shows every one of these packages of the order."""
    return all(classify(package, order, most_reads=package.reads + 1).outcome == "accepted" for package in packages)


def is_same_number(one: str, other: str) -> bool:
    """Whether two tracking numbers are the same to Amazon, which shows them without spaces and hyphens, in capitals."""
    return _normalized(one) == _normalized(other)


def _normalized(tracking_number: str) -> str:
    return re.sub(r"[\s-]", "", tracking_number).upper()


def _with_units_left(package: SentPackage, order: AmazonOrderState, most_reads: int) -> Seen:
    """A package that Amazon refused for its units: it is sent with those that Amazon says are left."""
    if not order.left and package.reads < most_reads:  # Amazon does not say what is left
        return Seen("waiting")
    left_by_item = Counter(order.left)
    for shown in order.packages:
        if shown.package_reference_id == package.reference_id:  # what it had before it was corrected
            left_by_item.update(shown.units)
    units = {item_id: min(count, left_by_item[item_id]) for item_id, count in package.units.items()}
    units = {item_id: count for item_id, count in units.items() if count > 0}
    shipped, left = sum(package.units.values()), sum(units.values())
    if not units:
        message = (
            f"Amazon refused the package: none of its units ({shipped}) is left to ship on Amazon; they are canceled "
            "or confirmed already. Check the order in Seller Central."
        )
        return Seen("rejected", REFUSED_QUANTITY, message)
    if package.sends >= MOST_SENDS and units == package.units:
        message = (
            "Amazon refuses the quantities, though it has as many units left; confirm the package in Seller Central."
        )
        return Seen("rejected", REFUSED_QUANTITY, message)
    message = f"Amazon has {left} left of the {shipped} units in the package; it is sent again with what is left."
    return Seen("sent_again", REFUSED_QUANTITY, message, units)
