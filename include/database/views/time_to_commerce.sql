drop view if exists reporting.time_to_commerce;

create view reporting.time_to_commerce as
select
    created_in_commerce_on as created_date,
    store_name,
    count(*) as order_count,
    round(cast(percentile_cont(0.5) within group (order by purchase_seconds) as numeric), 3) as p50_seconds,
    round(cast(percentile_cont(0.9) within group (order by purchase_seconds) as numeric), 3) as p90_seconds,
    round(cast(percentile_cont(0.99) within group (order by purchase_seconds) as numeric), 3) as p99_seconds,
    round(cast(percentile_cont(0.5) within group (order by landing_seconds) as numeric), 3) as p50_landing_seconds,
    round(cast(percentile_cont(0.9) within group (order by landing_seconds) as numeric), 3) as p90_landing_seconds,
    round(cast(percentile_cont(0.5) within group (order by creation_seconds) as numeric), 3) as p50_creation_seconds,
    round(cast(percentile_cont(0.9) within group (order by creation_seconds) as numeric), 3) as p90_creation_seconds,
    max(loaded_at) as loaded_at
from (
    select
        orders.*,
        extract(epoch from orders.created_in_commerce_at - orders.purchased_at) as purchase_seconds,
        extract(epoch from orders.landed_at - orders.purchased_at) as landing_seconds,
        extract(epoch from orders.created_in_commerce_at - orders.landed_at) as creation_seconds
    from reporting.fct_orders as orders
    where orders.created_in_commerce_on is not null
) as created
group by created_in_commerce_on, store_name;

comment on view reporting.time_to_commerce is
'How long orders took from the purchase to their Commerce order, per day of creation and store.';
comment on column reporting.time_to_commerce.created_date is
'Day of the creation in Commerce, in the marketplace''s time zone; UTC where there is none.';
comment on column reporting.time_to_commerce.store_name is 'Store, as in fct_orders.';
comment on column reporting.time_to_commerce.order_count is 'Orders that got their Commerce order on this day.';
comment on column reporting.time_to_commerce.p50_seconds is
'Median of the seconds from the purchase to the Commerce order.';
comment on column reporting.time_to_commerce.p90_seconds is 'Nine of ten took at most so many seconds.';
comment on column reporting.time_to_commerce.p99_seconds is '99 of 100 took at most so many seconds.';
comment on column reporting.time_to_commerce.p50_landing_seconds is
'Median of the seconds from the purchase until we had the order.';
comment on column reporting.time_to_commerce.p90_landing_seconds is 'Nine of ten: the same.';
comment on column reporting.time_to_commerce.p50_creation_seconds is
'Median of the seconds from then to the Commerce order.';
comment on column reporting.time_to_commerce.p90_creation_seconds is 'Nine of ten: the same.';
comment on column reporting.time_to_commerce.loaded_at is 'When the newest of the rows behind it was written, UTC.';
