"""The three kinds of status an order has: Amazon's, our pipeline's, and the one people see, derived from both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Amazon's fulfillmentStatus (orders_2026-01-01.json, `OrderFulfillment`), as far as rules rest on it.
SHIPPED = "SHIPPED"
CANCELED_STATUSES = frozenset({"CANCELLED", "UNFULFILLABLE"})
SHIPPABLE_STATUSES = frozenset({"UNSHIPPED", "PARTIALLY_SHIPPED", SHIPPED})
# Amazon expects the merchant to ship.
OPEN_STATUSES = SHIPPABLE_STATUSES - {SHIPPED}

# Where an order is in our process -> what that means. Only include/outbox/pipeline_state.py changes it.
PIPELINE_STATES = {
    "new": "staged, not checked yet",
    "waiting": "Amazon has not released it yet",
    "not_imported": "the store's settings leave it to Seller Central",
    "blocked": "a critical blocker prevents its creation",
    "ready": "planned in ops.order_outbox",
    "in_doubt": "sent to Commerce, outcome unknown",
    "rejected": "Commerce refused it",
    "needs_attention": "automatic attempts are used up, a person decides",
    "created": "has its Commerce order",
    "completed": "shipped, linked, and a later run has seen both",
    "canceled": "canceled on Amazon before a Commerce order existed",
}
# In these states the order should have a Commerce order and something prevents it: shown as Error.
BLOCKED_STATES = ("blocked", "rejected", "needs_attention")

Tone = Literal["gray", "yellow", "blue", "orange", "plain"]


@dataclass(frozen=True)
class ShownStatus:
    """One status that people see, and the tone in which pages show it, as the retired extension did."""

    name: str
    tone: Tone


CANCELED = ShownStatus("Canceled", "plain")
ERROR = ShownStatus("Error", "orange")
COMPLETED = ShownStatus("Completed", "blue")

# Amazon's status -> what people see, unless one of the three above goes first.
AMAZON_STATUSES = {
    "PENDING": ShownStatus("Pending", "gray"),
    "PENDING_AVAILABILITY": ShownStatus("Pending Availability", "gray"),
    "UNSHIPPED": ShownStatus("Unshipped", "yellow"),
    "PARTIALLY_SHIPPED": ShownStatus("Partially Shipped", "yellow"),
    "SHIPPED": ShownStatus("Shipped", "blue"),
}

# Every shown status by its name, in the order in which an order passes through them. Amazon's own word is shown for a
# status that is not here.
SHOWN_STATUSES = {status.name: status for status in (*AMAZON_STATUSES.values(), COMPLETED, ERROR, CANCELED)}
