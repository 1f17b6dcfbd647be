"""What Amazon shows of an order and its packages when it is asked about one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AmazonPackage:
    """One package as Amazon shows it. `units` maps amazon_item_id to the units in it; empty while Amazon lists none."""

    package_reference_id: str
    tracking_number: str | None = None
    carrier: str | None = None
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AmazonOrderState:
    """Where one order is on Amazon. The defaults stand for an order of which Amazon shows nothing.

    `left` maps amazon_item_id to the units that are still to be shipped, where Amazon says so.
    """

    amazon_order_id: str
    amazon_status: str = "UNKNOWN"
    packages: tuple[AmazonPackage, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
