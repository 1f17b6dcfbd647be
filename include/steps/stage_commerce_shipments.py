"""Turns landed Commerce shipments into core.shipments, and plans one package per tracking number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from include.adapters.amazon.carriers import carrier_for
from include.adapters.commerce.landed_shipments import collect_landed_shipments
from include.database.locks import wait_for_lock
from include.database.statements import load_statements
from include.database.tables import shipment_tracks
from include.domain.packages import Track, plan_packages
from include.outbox.order_outbox import release_shipped_orders
from include.outbox.shipment_outbox import ShipmentOutbox, accounts_with_packages
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)


def run(engine: Engine, settings: Settings, *, clock: Callable[[], datetime], dag_run_id: str) -> list[str]:
    """Stage what has landed and return the accounts that have packages to send to Amazon or to read back.

    A track keeps its package's reference for good; a corrected track is sent again under the same reference. Only
    writer of core.shipments and its lines and tracks. Orders that are shipped whole stop counting as taken.
    """
    statements = load_statements(__file__)
    outbox = ShipmentOutbox(engine, settings, clock=clock, dag_run_id=dag_run_id)
    counts: Counter[str] = Counter()
    with engine.begin() as connection:
        wait_for_lock(connection, "stage_commerce_shipments")
        counts["shipments"] = collect_landed_shipments(connection)
        if counts["shipments"]:
            connection.execute(statements["write_shipments"], {"now": clock(), "dag_run_id": dag_run_id})
            for name in ("write_items", "drop_tracks_that_left", "write_tracks"):
                connection.execute(statements[name])
            shipments = connection.execute(statements["shipments_to_plan"]).all()
            for shipment in shipments:
                _plan(connection, outbox, shipment, counts)
            shipped = {shipment.amazon_order_id for shipment in shipments}
            release_shipped_orders(connection, shipped, now=clock(), dag_run_id=dag_run_id)
            connection.execute(statements["finish_shipments"])
        accounts = accounts_with_packages(connection)
    log.info("stage_commerce_shipments: %s", summary(counts))
    return accounts


def _plan(connection: Connection, outbox: ShipmentOutbox, shipment: Row[Any], counts: Counter[str]) -> None:
    """Plan the packages of one shipment and write the plan down."""
    order_id = shipment.amazon_order_id
    plan = plan_packages(
        shipment.commerce_shipment_id,
        {item_id: int(Decimal(qty)) for item_id, qty in shipment.items},
        _tracks(connection, shipment),
        outbox.known_packages(connection, order_id),
        shipment.programs,
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


def _tracks(connection: Connection, shipment: Row[Any]) -> list[Track]:
    """The shipment's tracks, oldest first, with Amazon's carriers."""
    track = shipment_tracks.c
    of_shipment = (
        track.commerce_connection == shipment.commerce_connection,
        track.commerce_shipment_id == shipment.commerce_shipment_id,
    )
    rows = connection.execute(select(shipment_tracks).where(*of_shipment))
    return [
        Track(
            row.commerce_track_id,
            *carrier_for(row.carrier_code or "", row.carrier_title or ""),
            row.tracking_number,
        )
        for row in sorted(rows, key=lambda row: int(row.commerce_track_id))
    ]
