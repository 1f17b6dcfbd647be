"""Splits Amazon's amounts into Commerce's totals without changing what the buyer paid.

Commerce wants prices without tax beside the tax; Amazon does not report whether its line amounts include the tax. The
marketplace's convention decides, unless only the other reading adds up to Amazon's grand total. All amounts are
Decimals in the order's currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from include.domain.marketplaces import currency_exponent, quantize
from include.domain.money import ExchangeRate
from include.domain.orders import OrderLine

_ZERO = Decimal(0)


@dataclass(frozen=True)
class LineTotals:
    """One line as Commerce counts it. `row` is without tax, `row_incl_tax` with it, `discount` is positive.

    `charges` are shipping, gift wrap and fees of the line without tax; `charges_discount` is the discount on them.
    """

    row: Decimal
    row_incl_tax: Decimal
    tax: Decimal
    discount: Decimal
    charges: Decimal
    charges_incl_tax: Decimal
    charges_tax: Decimal
    charges_discount: Decimal


@dataclass(frozen=True)
class OrderTotals:
    """All lines, in their order, and the sums. `grand_total` is Amazon's, to the last digit.

    grand_total = subtotal + shipping + tax - discount + adjustment. `tax_left_out` is the part of the adjustment that
    the setting `tax: none` causes; `gift_wrap` and `fees` are parts of `shipping`, tax included. `discount` is all
    discounts, `shipping_discount` the part of it on `shipping`, of which `gift_wrap_discount` is on gift wrap.
    """

    lines: tuple[LineTotals, ...]
    grand_total: Decimal
    subtotal: Decimal
    subtotal_incl_tax: Decimal
    shipping: Decimal
    shipping_incl_tax: Decimal
    shipping_tax: Decimal
    shipping_discount: Decimal
    tax: Decimal
    discount: Decimal
    gift_wrap: Decimal
    gift_wrap_discount: Decimal
    fees: Decimal
    tax_left_out: Decimal
    adjustment: Decimal


def order_totals(
    lines: tuple[OrderLine, ...],
    grand_total: Decimal,
    currency_code: str,
    *,
    prices_include_tax: bool,
    is_tax_used: bool,
) -> OrderTotals:
    """The totals of an order with these lines.

    `prices_include_tax` is the marketplace's convention; `is_tax_used` False leaves Amazon's tax out of the lines and
    of the order's tax. Gift wrap and fees count as shipping ("Shipping & Handling" in Commerce), so that the invoice,
    which Commerce sums up from the parts, reaches the grand total.
    """
    is_inclusive = _is_inclusive(lines, grand_total, currency_code, prices_include_tax)
    counted = tuple(_line_totals(line, currency_code, is_inclusive, is_tax_used) for line in lines)
    amazon_tax = _sum(_or_zero(line.tax_amount) for line in lines)
    return _summed_up(
        counted,
        grand_total,
        gift_wrap=_sum(_positive(line.gift_wrap_amount) for line in lines),
        gift_wrap_discount=_sum(_or_zero(line.gift_wrap_discount_amount) for line in lines),
        fees=_sum(_positive(line.other_amount) for line in lines),
        tax_left_out=_ZERO if is_tax_used or is_inclusive else amazon_tax,
    )


def converted_totals(totals: OrderTotals, rate: ExchangeRate) -> OrderTotals:
    """The totals in the rate's other currency: the grand total converted, the parts so that they add up to it.

    What is paid for the goods and for the charges of each line is converted without a remainder. Of each, tax and
    discount are converted, and the price is the rest: so a discount never becomes more than what it is on.
    """
    paid = [
        amount
        for line in totals.lines
        for amount in (line.row_incl_tax - line.discount, line.charges_incl_tax - line.charges_discount)
    ]
    *converted, adjustment = rate.convert_parts([*paid, totals.adjustment])
    lines = []
    for line, goods, charges in zip(totals.lines, converted[::2], converted[1::2], strict=True):
        tax, discount = rate.convert(line.tax), rate.convert(line.discount)
        charges_tax, charges_discount = rate.convert(line.charges_tax), rate.convert(line.charges_discount)
        both = LineTotals(
            row=goods + discount - tax,
            row_incl_tax=goods + discount,
            tax=tax,
            discount=discount,
            charges=charges + charges_discount - charges_tax,
            charges_incl_tax=charges + charges_discount,
            charges_tax=charges_tax,
            charges_discount=charges_discount,
        )
        lines.append(both)
    return _summed_up(
        tuple(lines),
        rate.convert(totals.grand_total),
        gift_wrap=rate.convert(totals.gift_wrap),
        gift_wrap_discount=rate.convert(totals.gift_wrap_discount),
        fees=rate.convert(totals.fees),
        tax_left_out=adjustment - rate.convert(totals.adjustment - totals.tax_left_out),
    )


def _summed_up(lines: tuple[LineTotals, ...], grand_total: Decimal, **parts: Decimal) -> OrderTotals:
    subtotal = _sum(line.row for line in lines)
    shipping = _sum(line.charges for line in lines)
    tax = _sum(line.tax + line.charges_tax for line in lines)
    discount = _sum(line.discount + line.charges_discount for line in lines)
    return OrderTotals(
        lines=lines,
        grand_total=grand_total,
        subtotal=subtotal,
        subtotal_incl_tax=_sum(line.row_incl_tax for line in lines),
        shipping=shipping,
        shipping_incl_tax=_sum(line.charges_incl_tax for line in lines),
        shipping_tax=_sum(line.charges_tax for line in lines),
        shipping_discount=_sum(line.charges_discount for line in lines),
        tax=tax,
        discount=discount,
        adjustment=grand_total - (subtotal + shipping + tax - discount),
        **parts,
    )


def _is_inclusive(
    lines: tuple[OrderLine, ...], grand_total: Decimal, currency_code: str, prices_include_tax: bool
) -> bool:
    """Whether line amounts include the tax: the convention, unless it misses the grand total and the other does not.

    A reading may miss by the smallest coin per line: Amazon rounds each line.
    """
    tolerance = Decimal(1).scaleb(-currency_exponent(currency_code)) * len(lines)
    tax = _sum(_or_zero(line.tax_amount) for line in lines)
    gross = _sum(_item_amount(line) + _extras(line) - _or_zero(line.discount_amount) for line in lines)
    miss = {True: abs(grand_total - gross), False: abs(grand_total - gross - tax)}
    other = not prices_include_tax
    if miss[other] <= tolerance and miss[other] < miss[prices_include_tax]:
        return other
    return prices_include_tax


def _line_totals(line: OrderLine, currency_code: str, is_inclusive: bool, is_tax_used: bool) -> LineTotals:
    item = _item_amount(line)
    charges = _or_zero(line.shipping_amount) + _positive(line.gift_wrap_amount) + _positive(line.other_amount)
    item_discount, charges_discount = _discounts(line, item, charges)
    tax = _or_zero(line.tax_amount) if is_tax_used else _ZERO
    charges_tax = _ZERO
    paid = item - item_discount, max(charges - charges_discount, _ZERO)
    if is_inclusive and sum(paid) > 0:
        # Amazon gives one tax amount per line; goods and charges share it by what is paid for each.
        charges_tax = quantize(tax * paid[1] / sum(paid), currency_code)
    item_tax = tax - charges_tax
    return LineTotals(
        row=item - item_tax if is_inclusive else item,
        row_incl_tax=item if is_inclusive else item + item_tax,
        tax=item_tax,
        discount=item_discount,
        charges=charges - charges_tax if is_inclusive else charges,
        charges_incl_tax=charges if is_inclusive else charges + charges_tax,
        charges_tax=charges_tax,
        charges_discount=charges_discount,
    )


def _discounts(line: OrderLine, item: Decimal, charges: Decimal) -> tuple[Decimal, Decimal]:
    """The discount on the goods and on the charges. What is too much for the one goes to the other; the sum stays."""
    discount = _or_zero(line.discount_amount)
    on_charges = (
        _or_zero(line.shipping_discount_amount)
        + _or_zero(line.gift_wrap_discount_amount)
        + _or_zero(line.other_discount_amount)
    )
    on_item = min(discount - min(on_charges, discount, charges), item)
    return on_item, discount - on_item


def _item_amount(line: OrderLine) -> Decimal:
    """The goods of the line; from the unit price when Amazon gives no breakdown."""
    if line.item_amount is not None:
        return line.item_amount
    return _or_zero(line.unit_price_amount) * line.ordered_qty


def _extras(line: OrderLine) -> Decimal:
    return _or_zero(line.shipping_amount) + _or_zero(line.gift_wrap_amount) + _or_zero(line.other_amount)


def _positive(amount: Decimal | None) -> Decimal:
    """A negative charge is no charge of Commerce's; it stays in the adjustment."""
    return max(_or_zero(amount), _ZERO)


def _or_zero(amount: Decimal | None) -> Decimal:
    return _ZERO if amount is None else amount


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, _ZERO)
