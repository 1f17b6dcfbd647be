"""Commerce orders as documents, and how creating, updating, invoicing, shipping and canceling change them.

Rules: magento/magento2, `Sales/Model/Order.php`, `InvoiceOrder.php`, `ShipOrder.php`, `Order/Address/Validator.php`,
`ResourceModel/Order/Handler/State.php` and the API tests `Sales/Service/V1`; see also the OpenAPI document 2.4.9.
Amounts are Decimals in the order's currency; `base_` amounts are in the base currency of its website.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from local.sandbox.commerce.errors import CommerceRefusal, bad_type, internal_error, no_such_entity, required
from local.sandbox.commerce.fields import ADDRESS, HISTORY, ORDER, ORDER_ITEM, PAYMENT, typed

Document = dict[str, Any]
NextId = Callable[[str], int]

_ZERO = Decimal(0)
_REQUIRED = ("base_grand_total", "customer_email", "grand_total")
_WIDTHS = {"ext_order_id": 32, "ext_customer_id": 32, "increment_id": 50, "po_number": 32}
_ADDRESS_LABELS = {
    "postcode": "Zip code",
    "lastname": "Last name",
    "street": "Street",
    "city": "City",
    "email": "Email",
    "country_id": "Country",
    "firstname": "First Name",
    "telephone": "Phone Number",
}
_ITEM_COUNTERS = ("qty_canceled", "qty_invoiced", "qty_refunded", "qty_shipped", "row_invoiced", "base_row_invoiced")
_NOT_INVOICEABLE = ("payment_review", "holded", "canceled", "complete", "closed")
_NOT_SHIPPABLE = ("payment_review", "holded", "canceled")
# Without these amounts Commerce cannot create an invoice.
_INVOICE_NEEDS = ("subtotal", "grand_total", "total_due")
_INVOICE_ITEM_NEEDS = ("price", "row_total")


def new_order(entity: Any, next_id: NextId, now: str) -> Document:
    """The order described by `entity`, with ids and times, but without store and number.

    As in Commerce, whose API saves an order without looking at its products, they may be missing, disabled, short or
    not assigned to the website.

    Raises CommerceRefusal: 400 if something is missing or of the wrong type, 500 if a text is longer than its column.
    """
    order = typed(entity, ORDER, "Magento\\Sales\\Api\\Data\\OrderInterface")
    billing = order.get("billing_address")
    if not isinstance(billing, dict) or not billing.get("firstname") or not billing.get("lastname"):
        raise CommerceRefusal(400, "Please provide billing address for the order.")
    items = _list(order.get("items"))
    if not items:
        raise CommerceRefusal(400, "Please specify order items.")
    if missing := [field for field in _REQUIRED if field not in order]:
        raise required(missing)
    _fit(order)

    order_id = next_id("order")
    order["entity_id"] = order_id
    order["items"] = [_new_item(item, order_id, next_id, now) for item in items]
    order["billing_address"] = _address(billing, "billing", order_id, next_id)
    order["billing_address_id"] = order["billing_address"]["entity_id"]
    order["payment"] = _payment(order.get("payment"), order_id, next_id)
    histories = [history(entry, order_id, next_id, now) for entry in _list(order.get("status_histories"))]
    order["status_histories"] = histories
    order["extension_attributes"] = _extension(order, next_id)
    order.setdefault("is_virtual", 0)
    order.setdefault("total_item_count", len(items))
    order["created_at"] = order["updated_at"] = now
    return order


def update_order(order: Document, entity: Document, next_id: NextId, now: str) -> Document:
    """A copy of `order` in which only the fields in `entity` are changed. Items are matched by item_id.

    Raises CommerceRefusal: 400 for a wrong type, 404 for an unknown item, 500 if a text is longer than its column.
    """
    changes = typed(entity, ORDER, "Magento\\Sales\\Api\\Data\\OrderInterface")
    _fit(changes)
    order_id = order["entity_id"]
    changed = order | {field: value for field, value in changes.items() if field not in ORDER.parts}
    if "items" in changes:
        by_id = {item["item_id"]: dict(item) for item in order["items"]}
        for given in _list(changes["items"]):
            item = typed(given, ORDER_ITEM, "Magento\\Sales\\Api\\Data\\OrderItemInterface")
            if item.get("item_id") not in by_id:
                raise no_such_entity()
            by_id[item["item_id"]].update(item)
        changed["items"] = list(by_id.values())
    if "billing_address" in changes:
        changed["billing_address"] = _address(
            order["billing_address"] | _object(changes["billing_address"]), "billing", order_id, next_id
        )
    if "payment" in changes:
        changed["payment"] = _payment(order["payment"] | _object(changes["payment"]), order_id, next_id)
    if "status_histories" in changes:
        kept = order["status_histories"]
        added = [history(e, order_id, next_id, now) for e in _list(changes["status_histories"]) if "entity_id" not in e]
        changed["status_histories"] = kept + added
    if "extension_attributes" in changes:
        given = order["extension_attributes"] | _object(changes["extension_attributes"])
        changed["extension_attributes"] = _extension(changed | {"extension_attributes": given}, next_id)
    changed["updated_at"] = now
    settle_state(changed)
    return changed


def save_address(order: Document, entity: Document, next_id: NextId) -> Document:
    """Change, in place, the fields in `entity` of the address that its `entity_id` names; no time stamp moves.

    Raises CommerceRefusal: 400 for a wrong type or a missing part, 404 for an address that the order does not have.
    """
    shippings = [one["shipping"] for one in order["extension_attributes"]["shipping_assignments"]]
    for holder, name in [(order, "billing_address"), *((shipping, "address") for shipping in shippings)]:
        if name in holder and str(holder[name]["entity_id"]) == str(entity.get("entity_id")):
            kind = holder[name]["address_type"]
            holder[name] = _address(holder[name] | entity, kind, order["entity_id"], next_id)
            return dict(holder[name])
    raise no_such_entity()


def history(entry: Any, order_id: int, next_id: NextId, now: str) -> Document:
    """An entry in the status history of an order (a comment)."""
    checked = typed(entry, HISTORY, "Magento\\Sales\\Api\\Data\\OrderStatusHistoryInterface")
    numbered = {"entity_id": next_id("comment"), "parent_id": order_id, "entity_name": "order", "created_at": now}
    return {"is_customer_notified": 0, "is_visible_on_front": 0} | checked | numbered


def open_quantity(item: Document, done: str) -> Decimal:
    """How much of an order line is still to be invoiced (`done` is `qty_invoiced`) or shipped (`qty_shipped`)."""
    left = item.get("qty_ordered", _ZERO) - item[done] - item["qty_canceled"]
    if done == "qty_shipped":
        left -= item["qty_refunded"]
    return max(Decimal(left), _ZERO)


def can_invoice(order: Document) -> bool:
    return order.get("state") not in _NOT_INVOICEABLE and any(open_quantity(i, "qty_invoiced") for i in order["items"])


def can_ship(order: Document) -> bool:
    open_items = [item for item in order["items"] if open_quantity(item, "qty_shipped")]
    return order.get("state") not in _NOT_SHIPPABLE and any(not item.get("locked_do_ship") for item in open_items)


def settle_state(order: Document) -> None:
    """What Commerce does on every save: processing becomes complete when nothing is left to invoice or ship."""
    if order.get("state") == "processing" and not can_invoice(order) and not can_ship(order):
        order["state"] = order["status"] = "complete"


def quantities_to_invoice(order: Document, wanted: Mapping[int, Decimal] | None) -> dict[int, Decimal]:
    """Order item id -> quantity for an invoice; None takes everything that is left. Raises CommerceRefusal (400)."""
    messages = []
    if order.get("state") in _NOT_INVOICEABLE:
        messages.append(f"An invoice cannot be created when an order has a status of {order.get('status')}")
    elif not can_invoice(order):
        messages.append("The order does not allow an invoice to be created.")
    quantities, left = _quantities(order, wanted, "qty_invoiced")
    if set(quantities) - set(left):
        messages.append("The invoice contains one or more items that are not part of the original order.")
    elif sum(quantities.values()) <= 0:
        messages.append("You can't create an invoice without products.")
    limit = "The quantity to invoice must not be greater than the uninvoiced quantity"
    messages += over_limit(order, quantities, left, limit)
    if messages:
        raise CommerceRefusal(400, "\n".join(["Invoice Document Validation Error(s):", *messages]))
    return quantities


def over_limit(
    order: Document, quantities: Mapping[int, Decimal], left: Mapping[int, Decimal], limit: str
) -> list[str]:
    """A message, which `limit` begins, for each line of which more is wanted than is left."""
    return [
        f'{limit} for product SKU "{item["sku"]}".'
        for item in order["items"]
        if quantities.get(item["item_id"], _ZERO) > left[item["item_id"]]
    ]


def invoice(order: Document, quantities: Mapping[int, Decimal], now: str) -> None:
    """Invoice and pay `quantities` of `order`, in place. Its status becomes its state's default; a custom one is lost.

    Raises CommerceRefusal (400) if the order was created without the amounts that an invoice is calculated from.
    """
    both = ("", "base_")
    complete = all(prefix + field in order for prefix in both for field in _INVOICE_NEEDS) and all(
        prefix + field in item for item in order["items"] for prefix in both for field in _INVOICE_ITEM_NEEDS
    )
    if not complete:
        raise CommerceRefusal(400, "Could not save an invoice, see error log for details")
    is_last = all(quantities.get(i["item_id"], _ZERO) == open_quantity(i, "qty_invoiced") for i in order["items"])
    for prefix in both:
        parts = _invoice_amounts(order, quantities, prefix, is_last=is_last)
        for name, amount in parts.items():
            _add(order, f"{prefix}{name}_invoiced", amount)
        total = sum(parts.values(), _ZERO)
        _add(order, f"{prefix}total_invoiced", total)
        _add(order, f"{prefix}total_paid", total)
        order[f"{prefix}total_due"] = order[f"{prefix}grand_total"] - order[f"{prefix}total_paid"]
        _add(order["payment"], f"{prefix}amount_paid", total)
    for item in order["items"]:
        quantity = quantities.get(item["item_id"], _ZERO)
        for prefix in both:
            _add(item, f"{prefix}row_invoiced", _share(item, quantity, f"{prefix}row_total"))
            _add(item, f"{prefix}tax_invoiced", _share(item, quantity, f"{prefix}tax_amount"))
            _add(item, f"{prefix}discount_invoiced", _share(item, quantity, f"{prefix}discount_amount"))
        _add(item, "qty_invoiced", quantity)
    if order.get("state") in (None, "new"):
        order["state"] = "processing"
    order["status"] = order["state"]  # here every state's default status has the name of the state
    order["updated_at"] = now
    settle_state(order)


def quantities_to_ship(order: Document, wanted: Mapping[int, Decimal] | None) -> dict[int, Decimal]:
    """Order item id -> quantity for a shipment; None takes everything that is left. Raises CommerceRefusal (400)."""
    messages = []
    if order.get("state") in _NOT_SHIPPABLE:
        messages.append(f"A shipment cannot be created when an order has a status of {order.get('status')}")
    elif not can_ship(order):
        messages.append("The order does not allow a shipment to be created.")
    quantities, left = _quantities(order, wanted, "qty_shipped")
    messages += [f'We can not found item "{item_id}" in order.' for item_id in quantities if item_id not in left]
    valid = _ZERO
    for item in order["items"]:
        quantity = quantities.get(item["item_id"], _ZERO)
        if quantity > left[item["item_id"]]:
            messages.append(f'We found an invalid quantity to ship for item "{item.get("name", "")}".')
        else:
            valid += quantity
    if valid <= 0:
        messages.append("You can't create a shipment without products.")
    if messages:
        raise CommerceRefusal(400, "\n".join(["Shipment Document Validation Error(s):", *messages]))
    return {item_id: quantity for item_id, quantity in quantities.items() if quantity > 0}


def mark_shipped(order: Document, quantities: Mapping[int, Decimal], now: str) -> None:
    """Record `quantities` as shipped, in place."""
    for item in order["items"]:
        _add(item, "qty_shipped", quantities.get(item["item_id"], _ZERO))
    if order.get("state") == "new":
        order["state"] = order["status"] = "processing"
    order["updated_at"] = now
    settle_state(order)


def cancel(order: Document, now: str) -> dict[str, Decimal] | None:
    """Cancel, in place, what is neither invoiced nor shipped. Returns SKU -> quantity; None if there is nothing."""
    if not can_invoice(order):
        return None
    released: dict[str, Decimal] = {}
    for item in order["items"]:
        quantity = min(open_quantity(item, "qty_invoiced"), open_quantity(item, "qty_shipped"))
        _add(item, "qty_canceled", quantity)
        released[item["sku"]] = released.get(item["sku"], _ZERO) + quantity
    for prefix in ("", "base_"):
        order[f"{prefix}total_canceled"] = order[f"{prefix}grand_total"] - order.get(f"{prefix}total_paid", _ZERO)
    order["state"] = order["status"] = "canceled"
    order["updated_at"] = now
    return released


def hold(order: Document, now: str) -> None:
    """Put `order` on hold, in place. Raises CommerceRefusal (400) where its state does not allow it."""
    if order.get("state") in ("holded", "canceled", "payment_review", "complete", "closed"):
        raise CommerceRefusal(400, "A hold action is not available.")
    order["hold_before_state"], order["hold_before_status"] = order.get("state"), order.get("status")
    order["state"] = order["status"] = "holded"
    order["updated_at"] = now


def unhold(order: Document, now: str) -> None:
    """Give `order` back the state that it had before, in place. Raises CommerceRefusal (400)."""
    if order.get("state") != "holded":
        raise CommerceRefusal(400, "You cannot remove the hold.")
    order["state"], order["status"] = order.pop("hold_before_state"), order.pop("hold_before_status")
    order["updated_at"] = now


def _invoice_amounts(
    order: Document, quantities: Mapping[int, Decimal], prefix: str, *, is_last: bool
) -> dict[str, Decimal]:
    """The first invoice includes the shipping charge. The last one takes whatever is left of the order's own totals."""
    fields = {"subtotal": "subtotal", "tax": "tax_amount", "discount": "discount_amount", "shipping": "shipping_amount"}
    left = {
        name: order.get(prefix + field, _ZERO) - order.get(f"{prefix}{name}_invoiced", _ZERO)
        for name, field in fields.items()
    }
    if is_last:
        return left
    rows = [(item, quantities.get(item["item_id"], _ZERO)) for item in order["items"]]
    is_first = not order.get(f"{prefix}total_invoiced")
    shipping_tax, shipping_discount = (
        order.get(f"{prefix}{name}", _ZERO) if is_first else _ZERO
        for name in ("shipping_tax_amount", "shipping_discount_amount")
    )
    return {
        "subtotal": sum((_share(item, quantity, f"{prefix}row_total") for item, quantity in rows), _ZERO),
        "tax": sum((_share(item, quantity, f"{prefix}tax_amount") for item, quantity in rows), shipping_tax),
        "discount": -sum(
            (_share(item, quantity, f"{prefix}discount_amount") for item, quantity in rows), shipping_discount
        ),
        "shipping": left["shipping"],
    }


def _share(item: Document, quantity: Decimal, field: str) -> Decimal:
    if not quantity:
        return _ZERO
    return Decimal(item.get(field, _ZERO) * quantity / item["qty_ordered"]).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _quantities(
    order: Document, wanted: Mapping[int, Decimal] | None, done: str
) -> tuple[dict[int, Decimal], dict[int, Decimal]]:
    left = {item["item_id"]: open_quantity(item, done) for item in order["items"]}
    return (dict(left) if wanted is None else dict(wanted)), left


def _add(document: Document, field: str, amount: Decimal) -> None:
    document[field] = document.get(field, _ZERO) + amount


def _new_item(given: Any, order_id: int, next_id: NextId, now: str) -> Document:
    item = typed(given, ORDER_ITEM, "Magento\\Sales\\Api\\Data\\OrderItemInterface")
    if not item.get("sku"):
        raise required(["sku"])
    numbered = {"item_id": next_id("item"), "order_id": order_id, "created_at": now, "updated_at": now}
    return dict.fromkeys(_ITEM_COUNTERS, _ZERO) | item | numbered


def _address(given: Any, kind: str, order_id: int, next_id: NextId) -> Document:
    address = {"address_type": kind} | typed(given, ADDRESS, "Magento\\Sales\\Api\\Data\\OrderAddressInterface")
    warnings = [f"{label} is a required field" for field, label in _ADDRESS_LABELS.items() if field not in address]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", address.get("email", "")):
        warnings.append("Email has a wrong format")
    if address["address_type"] not in ("billing", "shipping"):
        warnings.append("Address type doesn't match required options")
    if warnings:
        raise CommerceRefusal(400, "\n".join(["We can't save the address:", *warnings]))
    if not all(isinstance(line, str) for line in _list(address["street"])):
        raise bad_type(address["street"], "string[]")
    address.setdefault("entity_id", next_id("address"))
    return address | {"parent_id": order_id}


def _payment(given: Any, order_id: int, next_id: NextId) -> Document:
    payment = typed(given, PAYMENT, "Magento\\Sales\\Api\\Data\\OrderPaymentInterface") if given is not None else {}
    if not payment.get("method"):
        raise CommerceRefusal(400, "The requested Payment Method is not available.")
    _fit(payment)
    payment.setdefault("entity_id", next_id("payment"))
    payment["additional_information"] = [str(text) for text in _list(payment.get("additional_information"))]
    # Commerce returns null for these two, although its schema says that they are required texts.
    return {"account_status": None, "cc_last4": None} | payment | {"parent_id": order_id}


def _extension(order: Document, next_id: NextId) -> Document:
    """The order's extension attributes. The order has a shipping address only if a shipping assignment contains one."""
    extension = dict(_object(order.get("extension_attributes", {})))
    assignments = []
    for given in _list(extension.get("shipping_assignments")):
        shipping = dict(_object(_object(given).get("shipping", {})))
        if "address" in shipping:
            shipping["address"] = _address(shipping["address"], "shipping", order["entity_id"], next_id)
        assignments.append({"shipping": shipping})
    extension["shipping_assignments"] = assignments
    return extension


def _fit(document: Document) -> None:
    """The database refuses text that is longer than its column; the caller only sees an internal error."""
    if any(len(document.get(field, "")) > width for field, width in _WIDTHS.items()):
        raise internal_error()


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_type(value, "array")
    return value


def _object(value: Any) -> Document:
    if not isinstance(value, dict):
        raise bad_type(value, "array")
    return value
