drop view if exists reporting.quarantined_orders;

create view reporting.quarantined_orders as
select
    account_name,
    amazon_order_id,
    findings,
    remedy,
    seen_count,
    first_seen_at,
    last_seen_at,
    read_count,
    next_read_at
from ops.quarantined_orders
where released_at is null;

comment on view reporting.quarantined_orders is
'One row per order document of Amazon that cannot be read and was set aside; it leaves when a sound version comes.';
comment on column reporting.quarantined_orders.account_name is 'Account whose listing contained it.';
comment on column reporting.quarantined_orders.amazon_order_id is 'Amazon''s order id; null if it cannot be read.';
comment on column reporting.quarantined_orders.findings is 'What is wrong, as paths and rules, without values.';
comment on column reporting.quarantined_orders.remedy is 'What to do.';
comment on column reporting.quarantined_orders.seen_count is 'How often a listing showed this document.';
comment on column reporting.quarantined_orders.first_seen_at is 'First time, UTC.';
comment on column reporting.quarantined_orders.last_seen_at is 'Last time, UTC.';
comment on column reporting.quarantined_orders.read_count is 'Times the order was read again by its id since.';
comment on column reporting.quarantined_orders.next_read_at is 'When it is read again, UTC; null: in the next run.';
