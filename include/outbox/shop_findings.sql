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
select
    amazon_order_id,
    commerce_order_id,
    commerce_order_number
from ops.order_outbox
where amazon_order_id = any(cast(:order_ids as text[])) and commerce_order_id is not null
order by amazon_order_id;
