"""What Amazon changes after a Commerce order exists, and what that asks of the Commerce order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LineUnits:
    """One line of a Commerce order in units. `ended` units were canceled or refunded.

    `amazon_item_id` is None on a line that was not made for Amazon's, such as one that a person has entered.
    """

    commerce_item_id: str
    ordered: int
    shipped: int
    ended: int
    sku: str = ""
    amazon_item_id: str | None = None

    @property
    def left_to_ship(self) -> int:
        """Units that can still be shipped, as Commerce counts them."""
        return max(self.ordered - self.shipped - self.ended, 0)


@dataclass(frozen=True)
class Withdrawal:
    """What is to be taken off a Commerce order. `units` maps its item_id to units that are not shipped yet.

    `shipped_too_many` counts units that Amazon canceled and Commerce has shipped. With `cancel` the order is canceled
    as a whole; with `credit` its units are credited, and with `credit_all` what is left of the shipping charge, too.
    """

    action: Literal["none", "cancel", "credit", "credit_all"]
    units: Mapping[str, int]
    shipped_too_many: int


def withdrawal(lines: Mapping[str, LineUnits], keep: Mapping[str, int], *, is_invoiced: bool) -> Withdrawal:
    """What is to be taken off, when Amazon keeps `keep` units of each line. Both are by Commerce's item_id.

    It rests on what the Commerce order shows now, so that what was canceled or credited before, by anybody, is not
    taken off twice. Lines that `keep` does not name stay as they are.
    """
    units: dict[str, int] = {}
    shipped_too_many = 0
    for item_id, wanted in keep.items():
        line = lines.get(item_id)
        if line is None:
            continue
        surplus = max(line.ordered - line.ended - wanted, 0)
        taken = min(surplus, line.left_to_ship)
        shipped_too_many += surplus - taken
        if taken:
            units[line.commerce_item_id] = taken
    if not units:
        return Withdrawal("none", units, shipped_too_many)
    is_all = all(line.ended + units.get(line.commerce_item_id, 0) >= line.ordered for line in lines.values())
    if is_all and not is_invoiced:
        return Withdrawal("cancel", units, shipped_too_many)
    return Withdrawal("credit_all" if is_all else "credit", units, shipped_too_many)
