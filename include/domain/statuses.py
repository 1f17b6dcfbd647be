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
    "not_imported": "left to Seller Central by the store's settings or by a person",
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

_NOT_CREATED = {"new", "waiting", "not_imported", "blocked", "ready", "canceled"}
# What an order may become, per system. A step that was never seen may be left out: we see Amazon's orders now and then.
# From `created` there is no way back: whatever happens on Amazon, the Commerce order exists.
ALLOWED_CHANGES: dict[str, dict[str, set[str]]] = {
    "amazon": {
        "PENDING_AVAILABILITY": {"PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED", SHIPPED, *CANCELED_STATUSES},
        "PENDING": {"UNSHIPPED", "PARTIALLY_SHIPPED", SHIPPED, *CANCELED_STATUSES},
        "UNSHIPPED": {"PARTIALLY_SHIPPED", SHIPPED, *CANCELED_STATUSES},
        "PARTIALLY_SHIPPED": {SHIPPED},
        SHIPPED: set(),
        "CANCELLED": set(),
        "UNFULFILLABLE": {"CANCELLED"},
    },
    "pipeline": {
        "new": _NOT_CREATED - {"new"},
        "waiting": _NOT_CREATED - {"waiting"},
        "not_imported": _NOT_CREATED - {"not_imported"},
        "blocked": _NOT_CREATED - {"blocked"},
        "ready": _NOT_CREATED - {"ready"} | {"in_doubt", "rejected", "needs_attention", "created"},
        "in_doubt": {"ready", "rejected", "needs_attention", "created", "canceled", "not_imported", "waiting"},
        "rejected": _NOT_CREATED | {"needs_attention", "created"},
        "needs_attention": _NOT_CREATED | {"in_doubt", "rejected", "created"},
        "created": {"completed"},
        "completed": set(),
        "canceled": {"new"},
    },
}
