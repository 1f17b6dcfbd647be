"""Builds the document that creates a Commerce order from an Amazon order, its contact and the catalog's products.

Target: `entity` of POST /V1/orders, openapi-admin-2.4.9 `sales-data-order-interface`. Commerce stores what it is given:
it checks no stock, recalculates no price or tax and sends no mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import simplejson

from include.adapters.commerce.address import (
    AddressPlaceholders,
    billing_address,
    buyer_email,
    buyer_name,
    shipping_address,
)
from include.adapters.commerce.documents import CatalogProduct, StoreView
from include.adapters.commerce.totals import LineTotals, OrderTotals, converted_totals, order_totals
from include.domain.contacts import Contact
from include.domain.errors import MalformedOrderError
from include.domain.marketplaces import MARKETPLACES
from include.domain.money import ExchangeRate
from include.domain.orders import AMAZON, Order, OrderLine
from include.domain.stores import FixedCustomer, Store

_LONGEST_EXT_ORDER_ID = 32  # sales_order.ext_order_id and sales_order_payment.po_number: varchar(32)
_LONGEST_INCREMENT_ID = 50
_LONGEST_TEXT = 255
_PRICE_STEP = Decimal("0.0001")  # Commerce keeps amounts as decimal(20, 4)
_VIRTUAL_TYPES = frozenset({"virtual", "downloadable"})


def order_entity(
    order: Order,
    contact: Contact,
    store: Store,
    view: StoreView,
    products: Mapping[str, CatalogProduct],
    *,
    shipping_method: str,
    placeholder: AddressPlaceholders,
    customer_id: int | None = None,
    rate: ExchangeRate | None = None,
) -> dict[str, Any]:
    """The `entity` that creates the Commerce order of `order` in the store view `view`. Money is Decimal.

    `products` holds the catalog's products by catalog SKU (`line.catalog_sku`); `shipping_method` is Commerce's code;
    `customer_id` is the customer's (see customers.customer_of), None for a guest. Without personal data (no PII role,
    or fulfilled by Amazon) an empty `contact` gives name, street, city, postcode and phone of `placeholder`, the
    marketplace's country and the e-mail address <order id>@<placeholder domain>. `rate` converts the order's amounts
    into the view's base currency.

    Lines that Amazon has emptied (quantity 0) are left out. What Amazon's amounts miss of its grand total stays in the
    grand total and is named in the order's comment.

    Raises MalformedOrderError when the order has no money or no units, is in another currency than the view's base and
    has no `rate`, a product is missing from `products`, or an id is too long for Commerce.
    """
    grand_total, currency = order.grand_total_amount, order.currency_code
    lines = tuple(line for line in order.lines if line.ordered_qty > 0)
    if grand_total is None or currency is None:
        raise _malformed(order, "Amazon gives no grand total")
    if not lines:
        raise _malformed(order, "it has no units")
    if (rate.to_currency if rate is not None else currency) != view.base_currency:
        raise _malformed(order, f"its currency is {currency}, the store view's base currency {view.base_currency}")
    marketplace = MARKETPLACES[store.marketplace_id]
    totals = order_totals(
        lines,
        grand_total,
        currency,
        prices_include_tax=marketplace.prices_include_tax,
        is_tax_used=store.orders.is_amazon_tax_used,
    )
    if rate is not None:
        totals, currency = converted_totals(totals, rate), rate.to_currency
    items = []
    for line, line_totals in zip(lines, totals.lines, strict=True):
        product = products.get(line.catalog_sku(store))
        if product is None:
            raise _malformed(order, f"the product of line {line.amazon_item_id} was not given")
        is_shipped_by_amazon = order.fulfilled_by == AMAZON
        qty = line.catalog_qty(store)
        items.append(_item(line, qty, line_totals, product, view, is_shipped_by_amazon=is_shipped_by_amazon))
    email = buyer_email(contact, order.amazon_order_id, placeholder)
    delivery = shipping_address(contact, email, marketplace, placeholder)
    shipping_amounts = _shipping_amounts(totals)
    return {
        **_identity(order, store),
        "store_id": view.store_id,
        "state": "new",
        "status": "pending",
        **_customer(contact, store, email, customer_id, placeholder),
        "is_virtual": int(all(item["is_virtual"] for item in items)),
        **_currencies(currency),
        **_order_amounts(totals, shipping_amounts),
        "total_item_count": len(items),
        **_with_base(total_qty_ordered=sum(line.catalog_qty(store) for line in lines)),
        **_weight(items),
        "shipping_description": _shipping_description(order),
        "email_sent": 0,
        "customer_note_notify": 0,
        "items": items,
        "billing_address": billing_address(delivery, contact, placeholder),
        "payment": _payment(order, totals),
        "status_histories": [
            {
                "comment": "\n".join([*_conversion(order, rate), *_comment(order, store, contact, totals, currency)]),
                "status": "pending",
                "entity_name": "order",
                "is_customer_notified": 0,
                "is_visible_on_front": 0,
                "parent_id": 0,  # required by the schema; Commerce puts the new order's id here
            }
        ],
        "extension_attributes": {
            "shipping_assignments": [
                {
                    "shipping": {"address": delivery, "method": shipping_method, "total": shipping_amounts},
                    "items": items,
                }
            ]
        },
    }


def encode_order(entity: Mapping[str, Any]) -> bytes:
    """The body of POST /V1/orders for `entity`, made before anything is committed or sent.

    Sign by sign as Commerce is to store it; half a surrogate pair, which Amazon can send and no shop can store, becomes
    a question mark.
    """
    text = simplejson.dumps({"entity": entity}, use_decimal=True, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _malformed(order: Order, finding: str) -> MalformedOrderError:
    return MalformedOrderError(
        f"Amazon order {order.amazon_order_id} cannot become a Commerce order: {finding}.", [finding]
    )


def _identity(order: Order, store: Store) -> dict[str, str]:
    amazon_order_id = order.amazon_order_id
    if len(amazon_order_id) > _LONGEST_EXT_ORDER_ID:
        raise _malformed(order, f"its id is longer than {_LONGEST_EXT_ORDER_ID} characters")
    identity = {"ext_order_id": amazon_order_id}
    if store.orders.order_number_source == "amazon":
        number = store.orders.order_number_prefix + amazon_order_id
        if len(number) > _LONGEST_INCREMENT_ID:
            raise _malformed(order, f"its id with the prefix is longer than {_LONGEST_INCREMENT_ID} characters")
        # Unique per store in Commerce's database: a second order of this number cannot be created.
        identity["increment_id"] = number
    return identity


def _customer(
    contact: Contact, store: Store, email: str, customer_id: int | None, placeholder: AddressPlaceholders
) -> dict[str, Any]:
    name = buyer_name(contact, placeholder)
    customer: dict[str, Any] = {"customer_firstname": name.first, "customer_lastname": name.last}
    if customer_id is None:
        return customer | {"customer_email": email, "customer_is_guest": 1, "customer_group_id": 0}
    if isinstance(store.orders.customer, FixedCustomer):
        email = store.orders.customer.email
    return customer | {"customer_email": email, "customer_is_guest": 0, "customer_id": customer_id}


def _currencies(currency: str) -> dict[str, Any]:
    # One currency throughout: an order in another one than the store view's base is converted before.
    codes = dict.fromkeys(
        ("base_currency_code", "global_currency_code", "order_currency_code", "store_currency_code"), currency
    )
    return {**codes, "base_to_global_rate": 1, "base_to_order_rate": 1}


def _with_base(**amounts: Decimal | int) -> dict[str, Decimal | int]:
    """Each amount and its twin in the base currency, without which Commerce cannot invoice."""
    return {**amounts, **{f"base_{name}": amount for name, amount in amounts.items()}}


def _order_amounts(totals: OrderTotals, shipping_amounts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **shipping_amounts,
        **_with_base(
            grand_total=totals.grand_total,
            total_due=totals.grand_total,
            subtotal=totals.subtotal,
            subtotal_incl_tax=totals.subtotal_incl_tax,
            tax_amount=totals.tax,
            # Negative on the order, positive on its lines.
            discount_amount=-totals.discount if totals.discount else totals.discount,
            discount_tax_compensation_amount=0,
        ),
    }


def _shipping_amounts(totals: OrderTotals) -> dict[str, Any]:
    return _with_base(
        shipping_amount=totals.shipping,
        shipping_incl_tax=totals.shipping_incl_tax,
        shipping_tax_amount=totals.shipping_tax,
        shipping_discount_amount=totals.shipping_discount,
    )


def _item(
    line: OrderLine,
    qty: int,
    totals: LineTotals,
    product: CatalogProduct,
    view: StoreView,
    *,
    is_shipped_by_amazon: bool,
) -> dict[str, Any]:
    price = (totals.row / qty).quantize(_PRICE_STEP)
    item: dict[str, Any] = {
        "ext_order_item_id": line.amazon_item_id,
        "sku": product.sku,
        "product_id": product.product_id,
        "product_type": product.type_id,
        "name": product.name[:_LONGEST_TEXT],
        "store_id": view.store_id,
        "is_virtual": int(product.type_id in _VIRTUAL_TYPES),
        "is_qty_decimal": 0,
        "qty_ordered": qty,
        **_with_base(
            # The row is exact; a unit price may not be, e.g. 10.00 for three.
            price=price,
            original_price=price,
            price_incl_tax=(totals.row_incl_tax / qty).quantize(_PRICE_STEP),
            row_total=totals.row,
            row_total_incl_tax=totals.row_incl_tax,
            tax_amount=totals.tax,
            discount_amount=totals.discount,
            discount_tax_compensation_amount=0,
        ),
    }
    if is_shipped_by_amazon:
        # Nobody ships it from Commerce, which takes an order without anything to ship for complete once it is invoiced
        # (magento2, Sales/Model/Order.php canShip and ResourceModel/Order/Handler/State.php).
        item["locked_do_ship"] = 1
    if product.weight is not None:
        item |= {"weight": product.weight, "row_weight": product.weight * qty}
    return item


def _weight(items: list[dict[str, Any]]) -> dict[str, Decimal]:
    return {"weight": sum((item.get("row_weight", Decimal(0)) for item in items), Decimal(0))}


def _shipping_description(order: Order) -> str:
    return f"Amazon {order.service_level or ''}".strip()[:_LONGEST_TEXT]


def _payment(order: Order, totals: OrderTotals) -> dict[str, Any]:
    return {
        "method": "purchaseorder",
        "po_number": order.amazon_order_id,
        # Required by the schema; Amazon's payment has neither.
        "account_status": "",
        "cc_last4": "",
        "additional_information": [f"Amazon order {order.amazon_order_id}"],
        **_with_base(amount_ordered=totals.grand_total, shipping_amount=totals.shipping),
    }


def _conversion(order: Order, rate: ExchangeRate | None) -> Iterator[str]:
    if rate is not None and order.grand_total_amount is not None:
        yield (
            f"Converted from {order.grand_total_amount.normalize():f} {rate.from_currency} at "
            f"{rate.rate.normalize():f} {rate.to_currency} for 1 {rate.from_currency}, the rate of {rate.rate_date} "
            f"by {rate.source}."
        )


def _comment(order: Order, store: Store, contact: Contact, totals: OrderTotals, currency: str) -> Iterator[str]:
    yield f"Amazon order {order.amazon_order_id}, fulfilled by {order.fulfilled_by or 'unknown'}."
    if order.programs:
        yield f"Amazon programs: {', '.join(order.programs)}."
    if order.replaced_amazon_order_id:
        yield f"Replaces Amazon order {order.replaced_amazon_order_id}."
    if totals.gift_wrap:
        yield f"Shipping includes {totals.gift_wrap} {currency} for gift wrap."
    if totals.gift_wrap_discount:
        yield f"Shipping discount includes {totals.gift_wrap_discount} {currency} for gift wrap."
    if totals.fees:
        yield f"Shipping includes {totals.fees} {currency} of other charges."
    if totals.tax_left_out:
        yield f"Amazon's tax of {totals.tax_left_out} {currency} is in the grand total only, as the store is set."
    difference = totals.adjustment - totals.tax_left_out
    if difference:
        yield f"Amazon's grand total, which is what was paid, differs from its lines by {difference} {currency}."
    for line in order.lines:
        pack = line.pack(store)
        if pack.units > 1 and line.ordered_qty:
            yield f"{line.ordered_qty} x {line.seller_sku} on Amazon: {line.catalog_qty(store)} x {pack.sku}."
    for line in order.lines:
        message = contact.gift_messages.get(line.amazon_item_id, "").strip()
        if message:
            # Harmless in the admin's pages, which render a few HTML tags in comments.
            yield f"Gift message ({line.seller_sku}): {message.replace('<', '(').replace('>', ')')}"
