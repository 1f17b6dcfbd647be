-- name: suspects
select distinct outbox.amazon_order_id
from
    unnest(cast(:commerce_order_ids as text[]), cast(:amazon_order_ids as text[]))
        as seen (
            commerce_order_id, amazon_order_id
        )
inner join ops.order_outbox as outbox on seen.amazon_order_id = outbox.amazon_order_id
where outbox.commerce_connection = :commerce_connection and outbox.commerce_order_id <> seen.commerce_order_id
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
-- The linked ones of these orders, and which lines that are still wanted are not matched to a line of Commerce.
select
    outbox.amazon_order_id,
    outbox.commerce_order_id,
    outbox.commerce_order_number,
    orders.amazon_status,
    array(
        select distinct items.seller_sku
        from core.order_items as items
        where
            items.amazon_order_id = outbox.amazon_order_id
            and items.commerce_item_id is null
            and items.ordered_qty > items.canceled_qty
        order by items.seller_sku
    ) as unmatched_skus
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where outbox.amazon_order_id = any(cast(:order_ids as text[])) and outbox.commerce_order_id is not null
order by outbox.amazon_order_id;
