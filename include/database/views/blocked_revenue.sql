drop view if exists reporting.blocked_revenue;

create view reporting.blocked_revenue as
select
    store_name,
    blocker_code,
    seller_sku,
    currency_code,
    count(distinct amazon_order_id) as order_count,
    sum(affected_qty) as blocked_qty,
    cast(sum(affected_amount) as numeric(20, 4)) as blocked_amount,
    round(cast(extract(epoch from now() - min(opened_at)) / 3600 as numeric), 2) as oldest_hours,
    cast(
        coalesce(sum(affected_amount) filter (where ship_by_at < now() + interval '24 hours'), 0) as numeric(20, 4)
    ) as due_within_24h_amount,
    round(cast(extract(epoch from min(ship_by_at) - now()) / 3600 as numeric), 2) as hours_to_ship_by,
    max(loaded_at) as loaded_at
from reporting.fct_order_blockers
where closed_at is null and severity = 'critical' and not is_order_canceled
group by store_name, blocker_code, seller_sku, currency_code;

comment on view reporting.blocked_revenue is
'What is blocked at this moment, per cause, SKU, store and currency. An order with two causes is in two rows.';
comment on column reporting.blocked_revenue.store_name is 'Store, as in fct_orders.';
comment on column reporting.blocked_revenue.blocker_code is 'Kind of blocker.';
comment on column reporting.blocked_revenue.seller_sku is 'SKU on Amazon; null: the cause concerns the whole order.';
comment on column reporting.blocked_revenue.currency_code is
'Currency of the amounts, ISO 4217; never add up rows of different currencies.';
comment on column reporting.blocked_revenue.order_count is 'Orders that it blocks.';
comment on column reporting.blocked_revenue.blocked_qty is 'Units that it blocks.';
comment on column reporting.blocked_revenue.blocked_amount is
'Goods of the blocked lines, or totals of the blocked orders; null: no amount is known.';
comment on column reporting.blocked_revenue.oldest_hours is 'Hours since the oldest of these blockers was found.';
comment on column reporting.blocked_revenue.due_within_24h_amount is
'The part of blocked_amount that is overdue or due within 24 hours.';
comment on column reporting.blocked_revenue.hours_to_ship_by is
'Hours until the first of these orders is due; negative: overdue.';
comment on column reporting.blocked_revenue.loaded_at is 'When the newest of the rows behind it was written, UTC.';
