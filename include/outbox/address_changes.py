"""Writes a delivery address that Amazon gives or changes after creation to the Commerce order.

The outbox row holds no address: it is read, and decrypted, when it is sent. What the Commerce order shows decides what
is sent, so that a repeated attempt sends only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from include.adapters.commerce.address import is_same_address
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.documents import CommerceOrder
from include.domain.errors import RefusedError
from include.outbox.order_change_outbox import OrderChangeOutbox
from include.outbox.work_loop import Outcome


@dataclass(frozen=True, repr=False)
class NewAddresses:
    """Amazon's newest address as Commerce's documents, by address type.

    `personal` are all texts of the contact; `problem` says which fields no Commerce order can have, or is empty.
    """

    by_type: Mapping[str, Mapping[str, Any]]
    personal: Collection[str]
    problem: str = ""


# The addresses of an Amazon order; None while Amazon gives none.
Addresses = Callable[[Connection, str], NewAddresses | None]


def write_addresses(
    outbox: OrderChangeOutbox,
    session: Connection,
    client: CommerceClient,
    row: Row[Any],
    found: CommerceOrder,
    addresses: Addresses,
) -> Outcome:
    """Take the change as far as it goes now. `session` holds the order's lock, `found` is the Commerce order."""
    wanted = addresses(session, row.amazon_order_id)
    number = row.commerce_order_number
    missing: list[tuple[int, Mapping[str, Any]]] = []
    if wanted is not None and found.state not in ("closed", "canceled"):
        for address in client.addresses(row.commerce_order_id):
            document = wanted.by_type[address["address_type"]]
            if not is_same_address(address, document):
                missing.append((address["entity_id"], document))
    if wanted is None or not missing:
        is_ours = wanted is not None and row.sent_at is not None
        outbox.finish(row, "done", _written(number) if is_ours else None)
        return Outcome("changed")
    if found.state == "complete":
        note = (
            f"Amazon gave a new delivery address after Commerce order {number} was shipped; the Commerce order keeps "
            "the old one. Check where the parcel went."
        )
        outbox.finish(row, "skipped", note)
        return Outcome("change_skipped")
    if wanted.problem:
        note = (
            f"Amazon gave a new delivery address that cannot be used: {wanted.problem}. It was not written to Commerce "
            f"order {number}; take the address from Seller Central and enter it there."
        )
        outbox.finish(row, "skipped", note)
        return Outcome("change_skipped")
    if row.state == "in_doubt":
        outbox.not_found(row)
        return Outcome("change_in_doubt")

    def save() -> None:  # one may be written and the next not; the next attempt sees that
        for address_id, document in missing:
            client.save_address(row.commerce_order_id, address_id, document, personal=wanted.personal)

    try:
        stopped = outbox.send(session, row, save)
    except RefusedError as error:
        note = (
            f"Amazon gave a new delivery address, but Commerce refuses it for order {number}: "
            f"{error.reason or error.code}."
        )
        outbox.reject(row, error, note)
        return Outcome("change_refused")
    if stopped is not None:
        return stopped
    outbox.finish(row, "done", _written(number))
    return Outcome("changed")


def _written(number: str) -> str:
    return f"Amazon gave a new delivery address after creation; it was written to Commerce order {number}."
