"""Takes a person's wish to cancel orders on Amazon: checks each order, and plans what can be canceled.

Nothing is sent from here: `submit_cancellations` does that, right afterwards and in every shipments run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from include.adapters.amazon.contacts import load_contact
from include.adapters.personal_data import PersonalDataCipher
from include.domain.cancellations import CANCEL_REASONS, why_not_cancelable
from include.domain.contacts import quotes
from include.domain.errors import MisconfiguredError
from include.domain.statuses import CANCELED_STATUSES
from include.outbox.cancellation_outbox import ask_for_cancellation, orders_to_cancel
from include.outbox.request_params import refused_param

log = logging.getLogger(__name__)

_MOST_ORDERS = 1000


@dataclass(frozen=True)
class CancelRequest:
    """Which orders a person wants canceled, and why."""

    amazon_order_ids: tuple[str, ...]
    reason: str
    comment: str | None


def read_request(params: Mapping[str, Any]) -> CancelRequest:
    """The request that the params of a DAG run describe. Raises MisconfiguredError naming the param and why."""
    ids = params.get("amazon_order_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) and one.strip() for one in ids):
        raise refused_param("amazon_order_ids", "is no list of order ids", 'give a list, as ["902-1234567-1234567"]')
    order_ids = tuple(dict.fromkeys(one.strip() for one in ids))
    if len(order_ids) > _MOST_ORDERS:
        raise refused_param(
            "amazon_order_ids", f"has {len(order_ids)} orders", f"give at most {_MOST_ORDERS} in one run"
        )
    reason, comment = params.get("reason"), params.get("comment")
    if reason not in CANCEL_REASONS:
        raise refused_param("reason", f"is {reason!r}", f"use one of {', '.join(CANCEL_REASONS)}")
    if comment is not None and not isinstance(comment, str):
        raise refused_param("comment", "is no text", "say why in a sentence, or leave it out")
    return CancelRequest(order_ids, reason, (comment or "").strip() or None)


def run(
    engine: Engine,
    cipher: PersonalDataCipher,
    request: CancelRequest,
    *,
    is_dry_run: bool,
    requested_by: str,
    now: datetime,
    dag_run_id: str,
) -> dict[str, str]:
    """Plan each cancellation that is possible, in one transaction. Returns what came of each order, by its id.

    An order that is asked for already is not planned again. With `is_dry_run` nothing is written. Raises
    MisconfiguredError when the comment quotes a buyer, then nothing is planned; and, after all others are planned, when
    an order cannot be canceled, with the reason of each.
    """
    outcomes: dict[str, str] = {}
    refusals: dict[str, str] = {}
    with engine.connect() as connection:
        orders = orders_to_cancel(connection, request.amazon_order_ids)
        if request.comment:
            for order_id in orders:
                contact, _ = load_contact(connection, cipher, order_id)
                if quotes(request.comment, contact.texts()):
                    raise refused_param(
                        "comment",
                        f"quotes the buyer's data of order {order_id}, which is kept encrypted only",
                        "say why without name or address",
                    )
        for order_id in request.amazon_order_ids:
            order = orders.get(order_id)
            why = _why_not(order)
            if order is None or why is not None:
                refusals[order_id] = why or ""
            elif order.requested_by is not None:
                outcomes[order_id] = _asked_already(order)
            elif ask_for_cancellation(
                connection,
                order,
                reason=request.reason,
                comment=request.comment,
                requested_by=requested_by,
                now=now,
                dag_run_id=dag_run_id,
            ):
                outcomes[order_id] = "is to be submitted to Amazon"
            else:
                outcomes[order_id] = "is asked for already"
        if not is_dry_run:
            connection.commit()
    prefix = "dry run, nothing was changed: " if is_dry_run else ""
    for order_id, outcome in outcomes.items():
        log.info("cancel_amazon_order: order=%s by %s: %sthe cancellation %s", order_id, requested_by, prefix, outcome)
    if refusals:
        reasons = "; ".join(f"{order_id}: {why}" for order_id, why in refusals.items())
        raise MisconfiguredError(
            f"{prefix}{len(refusals)} of {len(request.amazon_order_ids)} orders cannot be canceled, "
            f"{len(outcomes)} can. {reasons}."
        )
    return {order_id: prefix + outcome for order_id, outcome in outcomes.items()}


def _why_not(order: Row[Any] | None) -> str | None:
    if order is None:
        return "it is not stored. Resolution: check the order id, or wait until it is imported"
    if order.requested_by is not None and order.amazon_status not in CANCELED_STATUSES:
        return None  # under way: that it cannot be asked for twice is no failure
    if order.marketplace_id is None:
        return "it was not sold on Amazon. Resolution: cancel it where it was sold"
    return why_not_cancelable(order.amazon_status, order.fulfilled_by, order.commerce_shipment_count)


def _asked_already(order: Row[Any]) -> str:
    return f"is asked for already, by {order.requested_by} on {order.requested_at:%Y-%m-%d %H:%M} UTC; nothing changes"
