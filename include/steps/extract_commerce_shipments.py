"""Fetches the shipments of every linked order that is not finished on Amazon: raw.commerce_shipments."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

import simplejson
from sqlalchemy import Engine

from include.adapters.canonical_json import sha256_of
from include.adapters.commerce.client import CommerceClient
from include.database.statements import load_statements
from include.domain.errors import OrdersError
from include.settings import Settings

log = logging.getLogger(__name__)


def run(
    engine: Engine, commerce: Callable[[str], CommerceClient], settings: Settings, *, now: datetime, dag_run_id: str
) -> dict[str, int]:
    """Land every shipment version of the open orders. Returns counts: orders, shipments, new_versions.

    Asked by order id, not by time: a track that is added later moves no time stamp in Commerce. `commerce` gives the
    client of a Commerce connection; a shop that does not answer delays its own shipments only, and then the step fails
    with that shop's error after the others have landed.
    """
    statements = load_statements(__file__)
    counts = {"orders": 0, "shipments": 0, "new_versions": 0}
    by_shop: dict[str, dict[str, str]] = defaultdict(dict)
    with engine.connect() as connection:
        completed_after = now - settings.shipment_watch
        for row in connection.execute(statements["open_orders"], {"completed_after": completed_after}):
            by_shop[row.commerce_connection][row.commerce_order_id] = row.amazon_order_id
    failure: OrdersError | None = None
    for shop, orders in by_shop.items():
        try:
            shipments = commerce(shop).shipments(list(orders))
        except OrdersError as error:
            log.warning("extract_commerce_shipments: %s: %s", shop, error)
            failure = error
            continue
        rows = [
            {
                "commerce_connection": shop,
                "commerce_shipment_id": shipment.commerce_shipment_id,
                "payload_sha256": sha256_of(shipment.document),
                "commerce_order_id": shipment.commerce_order_id,
                "amazon_order_id": orders[shipment.commerce_order_id],
                "payload": simplejson.dumps(shipment.document, use_decimal=True),
                "now": now,
                "dag_run_id": dag_run_id,
            }
            for shipment in shipments
        ]
        with engine.begin() as connection:
            for values in rows:
                counts["new_versions"] += connection.execute(statements["insert_shipment"], values).rowcount
        counts["orders"] += len(orders)
        counts["shipments"] += len(rows)
    log.info("extract_commerce_shipments: %s", " ".join(f"{name}={count}" for name, count in counts.items()))
    if failure is not None:
        raise failure
    return counts
