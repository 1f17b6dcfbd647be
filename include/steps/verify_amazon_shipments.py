"""Asks Amazon whether it has the packages that it was told about: 204 alone proves nothing, and doubts end here."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from include.adapters.amazon.client import AmazonClient
from include.database.locks import autocommit, try_lock
from include.database.statements import load_statements
from include.domain.amazon_packages import AmazonOrderState
from include.domain.errors import RefusedError
from include.domain.statuses import SHIPPED
from include.settings import Settings

log = logging.getLogger(__name__)

# A package that Amazon was told of this often and still does not show is a person's matter.
_SENDS = 3


def run(
    engine: Engine, client: AmazonClient, account_name: str, settings: Settings, *, now: datetime, dag_run_id: str
) -> dict[str, int]:
    """Read back each order with packages sent at least `shipment_verify_gap` ago. Returns counts by outcome.

    A package that Amazon shows becomes `accepted`. One that it does not show is looked for again at growing distances;
    a doubtful one is sent again after two looks, a sent one after `shipment_verify_attempts` (same number each time).
    """
    statements = load_statements(__file__)
    counts: Counter[str] = Counter(accepted=0, waiting=0, sent_again=0, rejected=0)
    by_order: dict[str, list[Row[Any]]] = defaultdict(list)
    keys = {
        "account_name": account_name,
        "now": now,
        "sent_before": now - settings.shipment_verify_gap,
    }
    with autocommit(engine) as connection:
        for row in connection.execute(statements["sent"], keys):
            by_order[row.amazon_order_id].append(row)
        for order_id, rows in by_order.items():
            with try_lock(connection, "order", order_id) as got:
                if not got:
                    counts["passed_over"] += len(rows)
                    continue
                try:
                    order = client.get_order(order_id)
                except RefusedError as error:
                    log.warning("verify_amazon_shipments: order=%s cannot be read (%s)", order_id, error.code)
                    order = AmazonOrderState(order_id)
                for row in rows:
                    after = _judge(row, order, settings)
                    counts[after.pop("outcome")] += 1
                    connection.execute(
                        statements["mark"],
                        after
                        | {
                            "amazon_order_id": order_id,
                            "package_reference_id": row.package_reference_id,
                            "now": now,
                            "dag_run_id": dag_run_id,
                        },
                    )
    log.info("verify_amazon_shipments: account=%s %s", account_name, " ".join(f"{k}={v}" for k, v in counts.items()))
    return dict(counts)


def _judge(row: Row[Any], order: AmazonOrderState, settings: Settings) -> dict[str, Any]:
    """What the row becomes, given what Amazon shows of the order."""
    for package in order.packages:
        is_ours = package.package_reference_id == row.package_reference_id
        if is_ours and package.tracking_number in (None, row.tracking_number):
            return {"outcome": "accepted", "state": "accepted", "code": None, "error": None, "wait": None}
    looks = row.verify_count + 1
    wait = settings.shipment_verify_gap * 2 ** min(looks, 6)
    is_shipped = order.amazon_status == SHIPPED
    if is_shipped and row.last_error_code == "PackageToUpdateNotFound":
        error = "Amazon had the whole order as shipped before it was told of this package; check it in Seller Central."
        return {"outcome": "rejected", "state": "rejected", "code": row.last_error_code, "error": error, "wait": None}
    if row.attempts >= _SENDS and looks >= settings.shipment_verify_attempts:
        error = (
            f"Amazon does not show the package, though it was told {row.attempts} times; check it in Seller Central."
        )
        return {"outcome": "rejected", "state": "rejected", "code": "not_found", "error": error, "wait": None}
    if looks >= (2 if row.state == "in_doubt" else settings.shipment_verify_attempts):
        error = f"Amazon does not show the package after {looks} looks; it is sent again under the same number."
        return {"outcome": "sent_again", "state": "planned", "code": "not_found", "error": error, "wait": None}
    return {
        "outcome": "waiting",
        "state": row.state,
        "code": row.last_error_code,
        "error": row.last_error,
        "wait": wait,
    }
