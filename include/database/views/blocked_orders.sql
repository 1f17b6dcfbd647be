drop view if exists reporting.blocked_orders;

create view reporting.blocked_orders as
select
    coalesce(orders.store_name, orders.account_name) as store_name,
    orders.amazon_order_id,
    episodes.blocker_code,
    nullif(episodes.amazon_item_id, '') as amazon_item_id,
    episodes.seller_sku,
    episodes.catalog_sku,
    episodes.message,
    episodes.remedy,
    episodes.requested_qty,
    episodes.available_qty,
    episodes.affected_amount,
    episodes.currency_code,
    orders.purchased_at,
    orders.ship_by_at,
    episodes.opened_at,
    episodes.last_seen_at,
    episodes.check_count
from ops.blocker_episodes as episodes
inner join core.orders as orders on episodes.amazon_order_id = orders.amazon_order_id
where episodes.closed_at is null and episodes.severity = 'critical';

comment on view reporting.blocked_orders is
'One row per open critical blocker: which order it blocks, since when, why, and what to do.';
comment on column reporting.blocked_orders.store_name is 'Store (stores.yaml).';
comment on column reporting.blocked_orders.amazon_order_id is 'Amazon''s order id.';
comment on column reporting.blocked_orders.blocker_code is 'Kind of blocker.';
comment on column reporting.blocked_orders.amazon_item_id is 'Amazon''s orderItemId; null: the whole order.';
comment on column reporting.blocked_orders.seller_sku is 'SKU on Amazon.';
comment on column reporting.blocked_orders.catalog_sku is 'SKU that was looked for in Commerce.';
comment on column reporting.blocked_orders.message is 'What is wrong.';
comment on column reporting.blocked_orders.remedy is 'What to do.';
comment on column reporting.blocked_orders.requested_qty is 'Units that the line needs.';
comment on column reporting.blocked_orders.available_qty is 'Units that were free for it.';
comment on column reporting.blocked_orders.affected_amount is 'Goods of the line.';
comment on column reporting.blocked_orders.currency_code is 'Currency of that amount, ISO 4217.';
comment on column reporting.blocked_orders.purchased_at is 'When the buyer bought, UTC.';
comment on column reporting.blocked_orders.ship_by_at is 'Latest moment to ship, UTC.';
comment on column reporting.blocked_orders.opened_at is 'First check that found the blocker, UTC.';
comment on column reporting.blocked_orders.last_seen_at is 'Last check that found it, UTC.';
comment on column reporting.blocked_orders.check_count is 'Checks that found it.';
