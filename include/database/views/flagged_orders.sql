drop view if exists reporting.flagged_orders;

create view reporting.flagged_orders as
select
    coalesce(orders.store_name, orders.account_name) as store_name,
    orders.amazon_order_id,
    episodes.blocker_code as finding_code,
    episodes.message,
    episodes.remedy,
    orders.purchased_at,
    orders.ship_by_at,
    episodes.opened_at,
    episodes.last_seen_at
from ops.blocker_episodes as episodes
inner join core.orders as orders on episodes.amazon_order_id = orders.amazon_order_id
where episodes.closed_at is null and episodes.severity = 'warning';

comment on view reporting.flagged_orders is
'One row per open finding that blocks nothing but needs a person: which order, since when, why, and what to do.';
comment on column reporting.flagged_orders.store_name is 'Store (stores.yaml).';
comment on column reporting.flagged_orders.amazon_order_id is 'Amazon''s order id.';
comment on column reporting.flagged_orders.finding_code is 'Kind of finding.';
comment on column reporting.flagged_orders.message is 'What was found.';
comment on column reporting.flagged_orders.remedy is 'What to do.';
comment on column reporting.flagged_orders.purchased_at is 'When the buyer bought, UTC.';
comment on column reporting.flagged_orders.ship_by_at is 'Latest moment to ship, UTC.';
comment on column reporting.flagged_orders.opened_at is 'When it was found first, UTC.';
comment on column reporting.flagged_orders.last_seen_at is 'When it was found last, UTC.';
