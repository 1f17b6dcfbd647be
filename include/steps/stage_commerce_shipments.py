"""Turns landed Commerce shipments into core.shipments, and plans one package per tracking number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import DBAPIError

from include.adapters.commerce.landed_shipments import landed_shipment_orders, landed_shipments
from include.database.isolation import describe, isolate
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.database.tables import shipment_tracks
from include.domain.carriers import OTHER_CARRIER, Carriers, other_carrier
from include.domain.packages import ShippedLine, Track, plan_packages, whole_packs
from include.domain.stores import Stores
from include.outbox.order_lines import find_split_packs
from include.outbox.pipeline_state import move_selected
from include.outbox.shipment_findings import find_shipped_twice, find_untracked_shipments
from include.outbox.shipment_outbox import ShipmentOutbox, accounts_with_packages
from include.outbox.stock_release import release_shipped_orders
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)

_NOT_STAGED = (
    "Shipped in Commerce, but not confirmed to Amazon: the shipment cannot be read ({cause}). Resolution: report this "
    "with the log of stage_commerce_shipments; every run tries again. Until then confirm it in Seller Central."
)


def run(
    engine: Engine,
    stores: Stores,
    carriers: Carriers,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
) -> list[str]:
    """Stage what has landed and return the accounts that have packages to send to Amazon or to read back.

    A track keeps its package's reference for good; a corrected track is sent again under the same reference. Only
    writer of core.shipments and its lines and tracks. Orders that are shipped whole stop counting as taken. An order
    whose shipments cannot be staged is tried again by every run; its note says why.
    """
    stamp: dict[str, Any] = {"now": clock(), "dag_run_id": dag_run_id}
    outbox = ShipmentOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    names = _CarrierNames(carriers, settings.carriers_file)
    counts: Counter[str] = Counter(shipments=0)
    with engine.begin() as connection:
        wait_for_lock(connection, "stage_commerce_shipments")

        def attempt(order_ids: Sequence[str]) -> None:
            with connection.begin_nested():
                done = _stage(connection, outbox, names, order_ids, stamp)
            counts.update(done)

        landed = landed_shipment_orders(connection)
        for order_id, error in isolate(landed, attempt, Exception):
            counts["failed"] += 1
            log.error(
                "stage_commerce_shipments: order=%s: its shipments cannot be staged: %s",
                order_id,
                describe(error),
                exc_info=None if isinstance(error, DBAPIError) else error,  # the database's text quotes values
            )
            note = {"order_id": order_id, "note": _NOT_STAGED.format(cause=describe(error))}
            move_selected(connection, load_statements(__file__)["note_failure"], note, **stamp)
        find_split_packs(connection, landed, **stamp)
        flagging = [store.name for store in stores.all() if store.orders.are_untracked_shipments_flagged]
        find_untracked_shipments(connection, landed, flagging, **stamp)
        find_shipped_twice(connection, landed, **stamp)
        accounts = accounts_with_packages(connection)
    log.info("stage_commerce_shipments: %s", summary(counts))
    return accounts


@dataclass
class _CarrierNames:
    """Amazon's carriers of one run's tracks. Each carrier that is in no list is logged once."""

    carriers: Carriers
    file: str
    unknown: set[tuple[str, str]] = field(default_factory=set)

    def track(self, shipment: Row[Any], row: Row[Any]) -> Track:
        """A track of `shipment` as Amazon gets it."""
        code, title = row.carrier_code or "", row.carrier_title or ""
        carrier = self.carriers.find(shipment.store_name, shipment.marketplace_id, code, title)
        if carrier is None:
            carrier = other_carrier(code, title)
            if (code, title) not in self.unknown:
                self.unknown.add((code, title))
                log.warning(
                    "stage_commerce_shipments: order=%s: carrier code %.60r with title %.60r is in no list: Amazon "
                    "gets it as Other, which its valid tracking rate leaves out. Resolution: add a line to %s, or to "
                    "the carriers of store %s in the stores file.",
                    shipment.amazon_order_id,
                    code,
                    title,
                    self.file,
                    shipment.store_name,
                )
        name = carrier.name or (other_carrier(code, title).name if carrier.code == OTHER_CARRIER else None)
        return Track(row.commerce_track_id, carrier.code, name, row.tracking_number, carrier.method)


def _stage(
    connection: Connection,
    outbox: ShipmentOutbox,
    names: _CarrierNames,
    order_ids: Sequence[str],
    stamp: dict[str, Any],
) -> Counter[str]:
    """Stage these orders' shipments and plan their packages. Returns counts of what was done."""
    statements = load_statements(__file__)
    counts: Counter[str] = Counter()
    with landed_shipments(connection, order_ids) as counts["shipments"]:
        connection.execute(statements["write_shipments"], stamp)
        for name in ("write_items", "drop_tracks_that_left", "write_tracks"):
            connection.execute(statements[name])
        shipments = connection.execute(statements["shipments_to_plan"]).all()
        for shipment in shipments:
            _plan(connection, outbox, shipment, _tracks(connection, names, shipment), counts)
        shipped = {shipment.amazon_order_id for shipment in shipments}
        release_shipped_orders(connection, shipped, **stamp)
        connection.execute(statements["finish_shipments"])
    return counts


def _plan(
    connection: Connection, outbox: ShipmentOutbox, shipment: Row[Any], tracks: Sequence[Track], counts: Counter[str]
) -> None:
    """Plan the packages of one shipment and write the plan down."""
    order_id, shipment_id = shipment.amazon_order_id, shipment.commerce_shipment_id
    known = outbox.known_packages(connection, order_id)
    lines = {
        item_id: ShippedLine(int(Decimal(qty)), int(pack_units), int(Decimal(planned_qty)))
        for item_id, qty, pack_units, planned_qty in shipment.items
    }
    units = whole_packs(shipment_id, lines, known)
    if units is None:  # Amazon learns of them with the shipment of the rest
        counts["waiting"] += 1
        return
    plan = plan_packages(
        shipment_id,
        units,
        tracks,
        known,
        shipment.programs,
        is_amazon_fulfilled=shipment.fulfilled_by == "AMAZON",
    )
    for reference_id in plan.dropped:
        outbox.drop(connection, order_id, reference_id)
    for reference_id, track_id in plan.followed.items():
        outbox.follow(connection, order_id, reference_id, track_id)
    for reference_id, track in plan.changed.items():
        counts["changed"] += outbox.change(connection, order_id, reference_id, track)
    for package in plan.new:
        outbox.plan(connection, package, shipment)
        counts["skipped" if package.skipped else "planned"] += 1


def _tracks(connection: Connection, names: _CarrierNames, shipment: Row[Any]) -> list[Track]:
    """The shipment's tracks, oldest first, with Amazon's carriers."""
    track = shipment_tracks.c
    of_shipment = (
        track.commerce_connection == shipment.commerce_connection,
        track.commerce_shipment_id == shipment.commerce_shipment_id,
    )
    rows = connection.execute(select(shipment_tracks).where(*of_shipment))
    return [names.track(shipment, row) for row in sorted(rows, key=lambda row: int(row.commerce_track_id))]
