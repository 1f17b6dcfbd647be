"""Reads core.orders and core.order_items into the domain's Order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from include.database.tables import bad_addresses, order_items, orders, sku_map
from include.domain.orders import Order, OrderLine
from include.domain.stores import Pack


def load_orders(connection: Connection, amazon_order_ids: Collection[str]) -> dict[str, Order]:
    """The orders of these ids with their lines in Amazon's sequence, by id; ids that are not there are left out."""
    ids = list(amazon_order_ids)
    lines: dict[str, list[OrderLine]] = defaultdict(list)
    found = connection.execute(select(orders).where(_is_any(orders.c.amazon_order_id, ids))).all()
    corrected = {row.amazon_order_id: row.sku_map for row in found if row.sku_map}
    # A line that was emptied or canceled on Amazon does not count any more and cannot block the order.
    wanted = _is_any(order_items.c.amazon_order_id, ids) & (order_items.c.ordered_qty > order_items.c.canceled_qty)
    item = order_items.c
    query = (
        select(order_items, sku_map.c.commerce_sku, sku_map.c.quantity)
        .join(orders, orders.c.amazon_order_id == item.amazon_order_id)
        .outerjoin(sku_map, (sku_map.c.store_name == orders.c.store_name) & (sku_map.c.seller_sku == item.seller_sku))
    )
    for row in connection.execute(query.where(wanted).order_by(item.line_number)):
        corrections = corrected.get(row.amazon_order_id, {})
        lines[row.amazon_order_id].append(_line(row, corrections.get(row.seller_sku)))
    bad = select(bad_addresses).where(_is_any(bad_addresses.c.amazon_order_id, ids))
    problems = {row.amazon_order_id: row.problem for row in connection.execute(bad)}
    return {
        row.amazon_order_id: _order(row, tuple(lines[row.amazon_order_id]), problems.get(row.amazon_order_id, ""))
        for row in found
    }


def _is_any(column: ColumnElement[str], ids: list[str]) -> ColumnElement[bool]:
    # One parameter, however many ids: PostgreSQL takes 65,535 parameters at the most.
    return column == any_(literal(ids, ARRAY(Text())))


def _line(row: Row[Any], corrected_sku: str | None) -> OrderLine:
    return OrderLine(
        amazon_item_id=row.amazon_item_id,
        seller_sku=row.seller_sku,
        ordered_qty=row.ordered_qty - row.canceled_qty,
        title=row.title,
        asin=row.asin,
        fulfilled_qty=row.fulfilled_qty,
        unit_price_amount=row.unit_price_amount,
        item_amount=row.item_amount,
        shipping_amount=row.shipping_amount,
        gift_wrap_amount=row.gift_wrap_amount,
        tax_amount=row.tax_amount,
        discount_amount=row.discount_amount,
        shipping_discount_amount=row.shipping_discount_amount,
        gift_wrap_discount_amount=row.gift_wrap_discount_amount,
        other_discount_amount=row.other_discount_amount,
        other_amount=row.other_amount,
        line_total_amount=row.line_total_amount,
        is_buyer_cancel_requested=row.is_buyer_cancel_requested,
        corrected_sku=corrected_sku,
        mapped=Pack(row.commerce_sku, row.quantity) if row.commerce_sku is not None else None,
        pack_units=row.pack_units,
    )


def _order(row: Row[Any], lines: tuple[OrderLine, ...], address_problem: str) -> Order:
    return Order(
        amazon_order_id=row.amazon_order_id,
        account_name=row.account_name,
        marketplace_id=row.marketplace_id,
        amazon_status=row.amazon_status,
        fulfilled_by=row.fulfilled_by,
        purchased_at=row.purchased_at,
        currency_code=row.currency_code,
        grand_total_amount=row.grand_total_amount,
        service_level=row.service_level,
        programs=tuple(row.programs),
        replaced_amazon_order_id=row.replaced_amazon_order_id,
        lines=lines,
        skip_reason=row.skip_reason,
        total_mismatch=_total_mismatch(row),
        address_problem=address_problem,
    )


def _total_mismatch(row: Row[Any]) -> str:
    if not row.has_total_mismatch:
        return ""
    total, lines = (f"{amount.normalize():f}" for amount in (row.grand_total_amount, row.line_total_amount))
    return f"{total} against {lines} {row.currency_code}"
