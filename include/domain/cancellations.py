"""Cancellations that a seller asks Amazon for: the reasons, which orders allow it, and the way to submit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from include.domain.statuses import CANCELED_STATUSES

CANCEL_REASONS = (
    "NO_INVENTORY",
    "BUYER_CANCELED",
    "SHIPPING_ADDRESS_UNDELIVERABLE",
    "CUSTOMER_EXCHANGE",
    "PRICING_ERROR",
)
# The only Amazon status in which a seller can cancel.
CANCELABLE = "UNSHIPPED"
_WHY_NOT = {
    "PENDING": "Amazon is still verifying the payment. Resolution: wait until the order is Unshipped",
    "PENDING_AVAILABILITY": "it is a pre-order that is not released yet. Resolution: wait until the order is Unshipped",
    "PARTIALLY_SHIPPED": "a part of it is shipped. Resolution: refund the rest in Seller Central",
    "SHIPPED": "it is shipped. Resolution: refund it in Seller Central when the buyer returns it",
    "CANCELLED": "Amazon has canceled it already. Resolution: none needed",
    "UNFULFILLABLE": "Amazon cannot fulfill it and has closed it. Resolution: none needed",
}


def why_not_cancelable(amazon_status: str, fulfilled_by: str | None, commerce_shipment_count: int) -> str | None:
    """Why the seller cannot cancel an order now, and what to do; None when it can be canceled.

    `commerce_shipment_count`: shipments that Commerce has for it, whether or not Amazon knows of them.
    """
    if fulfilled_by != "MERCHANT" and amazon_status not in CANCELED_STATUSES:
        return "Amazon fulfills it, so the seller cannot cancel it. Resolution: the buyer cancels it, or ask Amazon"
    if amazon_status != CANCELABLE:
        status = f"Amazon reports the status {amazon_status}. Resolution: look at the order in Seller Central"
        return _WHY_NOT.get(amazon_status, status)
    if commerce_shipment_count:
        return (
            "it is shipped in Commerce already, and the shipment is being confirmed to Amazon. Resolution: if nothing "
            "left the warehouse, cancel the order in Seller Central"
        )
    return None


@dataclass(frozen=True)
class Cancellation:
    """One message: an order with its reason, and its lines to cancel. No two messages share a `message_id`."""

    message_id: int
    amazon_order_id: str
    reason: str
    amazon_item_ids: tuple[str, ...]


class Progress(Enum):
    """How far Amazon is with a batch."""

    WAITING = "waiting"
    DONE = "done"
    ABORTED = "aborted"  # some, none or all of it may be done
    NEVER_STARTED = "never_started"


@dataclass(frozen=True)
class BatchState:
    """What Amazon says of a batch: its own word, what that means, and where the report is, if there is one."""

    amazon_status: str
    progress: Progress
    report_id: str | None = None


@dataclass(frozen=True)
class BatchReport:
    """Amazon's report on a batch. `refusals` maps message ids to why they were refused.

    `is_complete`: the counts of the report agree with its list, and with the messages that were sent. If not, a message
    that is not in the list may have been refused all the same.
    """

    refusals: Mapping[int, str] = field(default_factory=dict)
    is_complete: bool = True


class CancellationGateway(Protocol):
    """The way of one account's cancellations to Amazon. Only `submit` does anything to an order.

    Every method may raise UnavailableError, ThrottledError, MisconfiguredError and RefusedError; `submit` also
    OutcomeUnknownError.
    """

    def now(self) -> datetime:
        """Amazon's clock, UTC."""

    def upload(self, cancellations: Sequence[Cancellation]) -> str:
        """Leave the messages with Amazon; nothing is canceled yet. Returns the id of the document."""

    def submit(self, document_id: str, marketplace_id: str) -> str:
        """Have Amazon carry out a document. Returns the id of the batch."""

    def submitted_since(self, since: datetime, marketplace_id: str) -> Sequence[str]:
        """The ids of the batches that Amazon has got since then for the marketplace, oldest first."""

    def state(self, batch_id: str) -> BatchState:
        """How far Amazon is with a batch."""

    def report(self, report_id: str, message_ids: Sequence[int]) -> BatchReport:
        """What came of each message of a batch that is done."""

    def amazon_status(self, amazon_order_id: str) -> str:
        """What Amazon reports of an order now."""
