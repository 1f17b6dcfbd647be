"""Tells Amazon about one account's planned packages: one confirmShipment each, under its own stable number."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.requests import shipment_confirmation
from include.database.locks import autocommit, try_lock
from include.database.statements import load_statements
from include.domain.errors import (
    OutcomeUnknownError,
    RefusedError,
    RunIncompleteError,
    ThrottledError,
    UnavailableError,
)
from include.settings import Settings

log = logging.getLogger(__name__)

# Amazon's words when it has every unit already: another channel confirmed the order, or an earlier try of ours did.
_FAILURE_LIMIT = 3
_ALREADY_SHIPPED = "PackageToUpdateNotFound"


def run(
    engine: Engine,
    client: AmazonClient,
    account_name: str,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    dag_run_id: str,
) -> dict[str, int]:
    """Send every planned package of the account. Returns counts: sent, in_doubt, refused, passed_over.

    `clock` gives the time (UTC). The row says `in_doubt` before the call and `sent` after Amazon's 204; whatever was
    not seen is resolved by looking (verify_amazon_shipments). Sending a number twice changes the same package, so a
    repeat is harmless. A refused package holds itself only. Raises RunIncompleteError when Amazon keeps failing.
    """
    statements = load_statements(__file__)
    counts = {"sent": 0, "in_doubt": 0, "refused": 0, "passed_over": 0}
    failures = 0
    with autocommit(engine) as connection:
        rows = connection.execute(statements["planned"], {"account_name": account_name, "now": clock()}).all()
        for row in rows:
            keys = {"amazon_order_id": row.amazon_order_id, "package_reference_id": row.package_reference_id}
            with try_lock(connection, "order", row.amazon_order_id) as got:
                claimed = (
                    got
                    and connection.execute(
                        statements["mark_sending"], keys | {"now": clock(), "dag_run_id": dag_run_id}
                    ).one_or_none()
                )
                if not claimed:
                    counts["passed_over"] += 1
                    continue
                after: dict[str, str | None]
                try:
                    client.confirm_shipment(row.amazon_order_id, _body(row))
                except RefusedError as error:
                    after = _after_refusal(error)
                    counts["in_doubt" if after["state"] == "in_doubt" else "refused"] += 1
                    log.warning("push_amazon_shipments: order=%s package=%s refused (%s)", *keys.values(), error.code)
                except OutcomeUnknownError as error:
                    after = {"state": "in_doubt", "code": "unknown_outcome", "error": str(error)[:500]}
                    counts["in_doubt"] += 1
                    failures += 1
                except UnavailableError as error:  # nothing was done
                    after = {"state": "planned", "code": "unavailable", "error": str(error)[:500]}
                    connection.execute(statements["mark"], keys | after | {"now": clock(), "dag_run_id": dag_run_id})
                    failures += 1
                    if isinstance(error, ThrottledError):
                        raise
                    continue
                else:
                    after = {"state": "sent", "code": None, "error": None}
                    counts["sent"] += 1
                    failures = 0
                connection.execute(statements["mark"], keys | after | {"now": clock(), "dag_run_id": dag_run_id})
            if failures >= _FAILURE_LIMIT:
                break
    log.info("push_amazon_shipments: account=%s %s", account_name, " ".join(f"{k}={v}" for k, v in counts.items()))
    if failures:
        raise RunIncompleteError(
            f"Amazon failed for {failures} packages of account {account_name} in a row. Resolution: none needed if "
            "Amazon comes back; otherwise see docs/runbook.md."
        )
    return counts


def _body(row: Row[Any]) -> dict[str, Any]:
    return shipment_confirmation(
        marketplace_id=row.marketplace_id,
        package_reference_id=row.package_reference_id,
        carrier_code=row.carrier_code,
        carrier_name=row.carrier_name,
        shipping_method=row.shipping_method,
        tracking_number=row.tracking_number,
        shipped_at=row.shipped_at,
        items=row.items,
    )


def _after_refusal(error: RefusedError) -> dict[str, str | None]:
    if _ALREADY_SHIPPED in f"{error.code} {error.reason}":
        return {
            "state": "in_doubt",
            "code": _ALREADY_SHIPPED,
            "error": "Amazon says that the order is shipped already.",
        }
    reason = error.reason or error.code
    return {
        "state": "rejected",
        "code": error.code,
        "error": f"Amazon refused the package: {reason} Correct the track in Commerce, or confirm it on Amazon."[:500],
    }
