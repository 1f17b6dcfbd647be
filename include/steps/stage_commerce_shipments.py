"""Turns landed Commerce shipments into core.shipments, and plans one package per tracking number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import simplejson
from sqlalchemy import Connection, Engine, Row

from include.adapters.amazon.carriers import carrier_for
from include.adapters.canonical_json import sha256_of
from include.adapters.commerce.landed_shipments import collect_landed_shipments
from include.database.statements import load_statements
from include.domain.packages import share_out

log = logging.getLogger(__name__)

_SHIP_PLUS = "FBM_SHIP_PLUS"


def run(engine: Engine, *, now: datetime, dag_run_id: str) -> list[str]:
    """Stage what has landed and return the accounts that have packages to tell Amazon about or to verify.

    A track keeps its package number for good; a corrected track is told again under the same number. Only writer of
    core.shipments and its lines and tracks, and of new rows of ops.shipment_outbox.
    """
    statements = load_statements(__file__)
    keys = {"now": now, "dag_run_id": dag_run_id}
    counts: Counter[str] = Counter()
    with engine.begin() as connection:
        connection.execute(statements["lock"])
        counts["shipments"] = collect_landed_shipments(connection)
        if counts["shipments"]:
            connection.execute(statements["write_shipments"], keys)
            for name in ("write_items", "drop_tracks_that_left", "write_tracks"):
                connection.execute(statements[name])
            for shipment in connection.execute(statements["shipments_to_plan"]).all():
                _plan(connection, shipment, now, dag_run_id, counts)
            connection.execute(statements["finish_shipments"])
        accounts = list(connection.execute(statements["accounts_with_work"]).scalars())
    log.info("stage_commerce_shipments: %s", " ".join(f"{name}={count}" for name, count in counts.items()))
    return accounts


def _plan(connection: Connection, shipment: Row[Any], now: datetime, dag_run_id: str, counts: Counter[str]) -> None:
    """Plan the packages of one shipment: known tracks keep theirs, a track in another's place takes over its package,
    and new tracks share what is left of the units.
    """
    statements = load_statements(__file__)
    keys = {
        "amazon_order_id": shipment.amazon_order_id,
        "commerce_connection": shipment.commerce_connection,
        "commerce_shipment_id": shipment.commerce_shipment_id,
        "now": now,
        "dag_run_id": dag_run_id,
    }
    tracks = connection.execute(statements["tracks"], keys).all()
    packages = connection.execute(statements["known_packages"], keys).all()
    known = {p.commerce_track_id: p for p in packages if p.commerce_shipment_id == shipment.commerce_shipment_id}
    _follow_replaced_tracks(connection, known, [track.commerce_track_id for track in tracks], keys)
    units = {item_id: int(Decimal(qty)) for item_id, qty in shipment.items}
    for package in known.values():
        for item in package.items if package.state != "skipped" else []:
            units[item["orderItemId"]] = units.get(item["orderItemId"], 0) - item["quantity"]
    units = {item_id: count for item_id, count in units.items() if count > 0}
    new_tracks = [track.commerce_track_id for track in tracks if track.commerce_track_id not in known]
    shares = share_out(units, new_tracks)
    number = max((int(p.package_reference_id) for p in packages), default=0)
    for track in tracks:
        carrier_code, carrier_name = carrier_for(track.carrier_code or "", track.carrier_title or "")
        told = {"carrier_code": carrier_code, "carrier_name": carrier_name, "tracking_number": track.tracking_number}
        if track.commerce_track_id in known:
            package = known[track.commerce_track_id]
            sha256 = sha256_of({**told, "items": package.items})
            if sha256 != package.request_sha256:
                changed = keys | told | {"package_reference_id": package.package_reference_id, "request_sha256": sha256}
                counts["changed"] += connection.execute(statements["change_package"], changed).rowcount
            continue
        items = [{"orderItemId": item_id, "quantity": qty} for item_id, qty in shares[track.commerce_track_id].items()]
        number += 1
        skipped = _why_skipped(shipment, items)
        connection.execute(
            statements["insert_package"],
            keys
            | told
            | {
                "package_reference_id": str(number),
                "account_name": shipment.account_name,
                "marketplace_id": shipment.marketplace_id,
                "commerce_track_id": track.commerce_track_id,
                "shipping_method": shipment.service_level,
                "shipped_at": shipment.shipped_at,
                "items": simplejson.dumps(items),
                "request_sha256": sha256_of({**told, "items": items}),
                "state": "skipped" if skipped else "planned",
                "code": skipped[0] if skipped else None,
                "error": skipped[1] if skipped else None,
            },
        )
        counts["skipped" if skipped else "planned"] += 1


def _follow_replaced_tracks(
    connection: Connection, known: dict[str, Row[Any]], track_ids: Sequence[str], keys: dict[str, Any]
) -> None:
    """Give the packages of tracks that left to the tracks that came: both `known` and the table are changed.

    Commerce's admin pages cannot edit a track, only delete it and add another; Amazon is to hear of a correction under
    the package's own number, because its units are told already.
    """
    left = [p for track_id, p in known.items() if track_id not in track_ids and p.state != "skipped"]
    # A track that was added before the other left had found no unit; its empty package gives way.
    spare = {
        track_id for track_id, p in known.items() if track_id in track_ids and p.last_error_code == "no_units_left"
    }
    came = [track_id for track_id in track_ids if track_id not in known or track_id in spare]
    for package, track_id in zip(sorted(left, key=lambda p: int(p.package_reference_id)), came, strict=False):
        if track_id in spare:
            empty = keys | {"package_reference_id": known.pop(track_id).package_reference_id}
            connection.execute(load_statements(__file__)["drop_package"], empty)
        changed = keys | {"package_reference_id": package.package_reference_id, "commerce_track_id": track_id}
        connection.execute(load_statements(__file__)["follow_track"], changed)
        known[track_id] = known.pop(package.commerce_track_id)


def _why_skipped(shipment: Row[Any], items: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Why Amazon is not told of a package: (code, sentence); None when it is."""
    if _SHIP_PLUS in shipment.programs:
        return "ship_plus", "Ship+ orders are confirmed by Amazon itself; nothing to do."
    if not items:
        return (
            "no_units_left",
            f"Shipment {shipment.commerce_shipment_id} has more tracking numbers than units; Amazon takes one package "
            "per unit at the most. Add this number in Seller Central if the buyer needs it.",
        )
    return None
