-- name: suspects
select distinct outbox.amazon_order_id
from
    unnest(
        cast(:commerce_order_ids as text[]),
        cast(:amazon_order_ids as text[]),
        cast(:are_taken_back as boolean[])
    )
        as seen (
            commerce_order_id, amazon_order_id, is_taken_back
        )
inner join ops.order_outbox as outbox on seen.amazon_order_id = outbox.amazon_order_id
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where
    outbox.commerce_connection = :commerce_connection
    and (
        outbox.commerce_order_id <> seen.commerce_order_id
        or (
            outbox.commerce_order_id = seen.commerce_order_id
            and seen.is_taken_back
            and orders.amazon_status = any(cast(:open_statuses as text[]))
        )
    )
order by outbox.amazon_order_id;

-- name: orders_with_findings
-- Warnings are few; the index of open ones leads to them, however many orders are blocked.
select distinct episodes.amazon_order_id
from ops.blocker_episodes as episodes
inner join ops.order_outbox as outbox on episodes.amazon_order_id = outbox.amazon_order_id
where
    episodes.closed_at is null
    and episodes.severity = 'warning'
    and episodes.blocker_code = any(cast(:codes as text[]))
    and outbox.commerce_connection = :commerce_connection
order by episodes.amazon_order_id;

-- name: linked
-- The linked ones of these orders, with what Amazon still wants, in Commerce's units: in all, of lines that are matched
-- to one of Commerce; and the SKUs of those that are not.
select
    outbox.amazon_order_id,
    outbox.commerce_order_id,
    outbox.commerce_order_number,
    orders.amazon_status,
    wanted.expected_qty,
    wanted.matched_qty,
    wanted.matched_item_ids,
    wanted.unmatched_skus
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
cross join
    lateral (
        select
            coalesce(sum((items.ordered_qty - items.canceled_qty) * items.pack_units), 0) as expected_qty,
            coalesce(
                sum((items.ordered_qty - items.canceled_qty) * items.pack_units)
                filter (where items.commerce_item_id is not null),
                0
            ) as matched_qty,
            array_agg(items.commerce_item_id) filter (where items.commerce_item_id is not null) as matched_item_ids,
            array_agg(distinct items.seller_sku) filter (where items.commerce_item_id is null) as unmatched_skus
        from core.order_items as items
        where items.amazon_order_id = outbox.amazon_order_id and items.ordered_qty > items.canceled_qty
    ) as wanted
where outbox.amazon_order_id = any(cast(:order_ids as text[])) and outbox.commerce_order_id is not null
order by outbox.amazon_order_id;
