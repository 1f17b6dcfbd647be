"""Reads quarantined orders again by their ids: at growing distance, and when our contract has changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from include.adapters.amazon.contract import contract_sha256
from include.adapters.amazon.landing import LandedPage
from include.database.statements import load_statements
from include.domain.errors import ForbiddenError, RefusedError, UnavailableError
from include.outbox.page_reader import PageReader
from include.outbox.single_orders import add_single_order

log = logging.getLogger(__name__)

# Request tokens of getOrder that are left to the verification of shipments, and orders of one run.
_KEEP = 10
_MOST_ORDERS = 20


def read_again(pages: PageReader, now: datetime) -> int:
    """Read the account's quarantined orders that are due, and land those that are sound now. Returns how many are.

    Their last word is the listing's: whatever goes wrong here, the next run tries again.
    """
    # To be read by its id says nothing about who listed the order.
    alone = replace(pages, on_page=_nothing)
    keys = {"account_name": pages.account_name, "contract_sha256": contract_sha256(), "now": now, "most": _MOST_ORDERS}
    statements = load_statements(__file__)
    with pages.engine.connect() as connection:
        due = list(connection.execute(statements["due"], keys).scalars())
    released = 0
    for order_id in due:

        def settle(connection: Connection, _landed: LandedPage, order_id: str = order_id) -> None:
            connection.execute(statements["note_read"], keys | {"order_id": order_id})

        try:
            landed = add_single_order(alone, pages.client.read_order(order_id, keep=_KEEP), settle)
        except (RefusedError, ForbiddenError) as error:
            log.warning("%s: quarantined order=%s cannot be read again: %s", pages.step, order_id, error)
            with pages.engine.begin() as connection:
                connection.execute(statements["note_read"], keys | {"order_id": order_id})
            continue
        except UnavailableError as error:
            log.info("%s: quarantined orders are read again by the next run: %s", pages.step, error)
            break
        released += not landed.quarantined
    if due:
        log.info("%s: account=%s quarantined: due=%d sound=%d", pages.step, pages.account_name, len(due), released)
    return released


def _nothing(_connection: Connection, _listed: Sequence[str], _now: datetime) -> None:
    pass
