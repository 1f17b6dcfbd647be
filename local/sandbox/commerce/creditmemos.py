"""Offline credit memos of Commerce orders: what is refused, what each one takes off the order, and when it closes it.

Rules: magento/magento2, `Sales/Model/RefundOrder.php` with its validators (`Order/Validation/CanRefund.php`,
`Order/Creditmemo/CreditmemoValidator`, `ItemCreationValidator`), `Model/Order/CreditmemoFactory.php` and
`ResourceModel/Order/Handler/State.php`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.orders import can_invoice, can_ship, over_limit

Document = dict[str, Any]

_ZERO = Decimal(0)
_NOT_REFUNDABLE = ("payment_review", "holded", "canceled", "closed")


def can_refund(order: Document) -> bool:
    """Whether something that was paid is not refunded yet, and the order's state allows it."""
    paid, refunded = order.get("total_paid", _ZERO), order.get("total_refunded", _ZERO)
    return order.get("state") not in _NOT_REFUNDABLE and paid > refunded


def quantities_to_refund(order: Document, wanted: Mapping[int, Decimal] | None) -> dict[int, Decimal]:
    """Order item id -> quantity for a credit memo; None takes all that is invoiced. Raises CommerceRefusal (400)."""
    left = {item["item_id"]: item["qty_invoiced"] - item["qty_refunded"] for item in order["items"]}
    quantities = dict(left) if wanted is None else dict(wanted)
    messages = []
    if order.get("state") in _NOT_REFUNDABLE:
        messages.append(f"A creditmemo can not be created when an order has a status of {order.get('status')}")
    elif not can_refund(order):
        messages.append("The order does not allow a creditmemo to be created.")
    if set(quantities) - set(left):
        messages.append("The creditmemo contains product item that is not part of the original order.")
    elif sum(quantities.values()) <= 0:
        messages.append("You can't create a creditmemo without products.")
    limit = "The quantity to creditmemo must not be greater than the unrefunded quantity"
    messages += over_limit(order, quantities, left, limit)
    if messages:
        raise CommerceRefusal(400, "\n".join(["Creditmemo Document Validation Error(s):", *messages]))
    return {item_id: quantity for item_id, quantity in quantities.items() if quantity > 0}


def refund(order: Document, quantities: Mapping[int, Decimal], shipping: Decimal | None, now: str) -> Decimal:
    """Take `quantities` and the `shipping` charge (None: all that is left of it) off `order`. Returns the total.

    The order's status becomes its state's default; a custom one is lost. Raises CommerceRefusal (400).
    """
    left = order.get("shipping_amount", _ZERO) - order.get("shipping_refunded", _ZERO)
    if shipping is not None and not 0 <= shipping <= left:
        raise CommerceRefusal(400, f"Maximum shipping amount allowed to refund is: {left:.2f}")
    shipping = left if shipping is None else shipping
    shipping_tax = _ratio(order.get("shipping_tax_amount", _ZERO), shipping, order.get("shipping_amount", _ZERO))
    goods = {item["item_id"]: _goods(item, quantities.get(item["item_id"], _ZERO)) for item in order["items"]}
    most = order.get("total_paid", _ZERO) - order.get("total_refunded", _ZERO)
    is_last = all(i["qty_refunded"] + quantities.get(i["item_id"], _ZERO) == i["qty_ordered"] for i in order["items"])
    total = most if is_last and shipping == left else min(sum(goods.values(), _ZERO) + shipping + shipping_tax, most)
    if total <= 0:
        raise CommerceRefusal(400, "The credit memo's total must be positive.")
    for prefix in ("", "base_"):
        _add(order, f"{prefix}shipping_refunded", shipping)
        _add(order, f"{prefix}total_refunded", total)
        _add(order, f"{prefix}total_offline_refunded", total)
        _add(order["payment"], f"{prefix}amount_refunded", total)
    for item in order["items"]:
        _add(item, "qty_refunded", quantities.get(item["item_id"], _ZERO))
        _add(item, "amount_refunded", goods[item["item_id"]])
    if order["state"] in ("processing", "complete") and not can_invoice(order) and not can_ship(order):
        order["state"] = "complete" if can_refund(order) else "closed"
    order["status"] = order["state"]
    order["updated_at"] = now
    return Decimal(total)


def _goods(item: Document, quantity: Decimal) -> Decimal:
    amount = item.get("row_total", _ZERO) + item.get("tax_amount", _ZERO) - item.get("discount_amount", _ZERO)
    return _ratio(amount, quantity, item["qty_ordered"])


def _ratio(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (amount * part / whole).quantize(Decimal("0.01"), ROUND_HALF_UP) if whole else _ZERO


def _add(document: Document, field: str, amount: Decimal) -> None:
    document[field] = document.get(field, _ZERO) + amount
