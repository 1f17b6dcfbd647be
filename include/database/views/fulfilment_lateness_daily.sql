drop view if exists reporting.fulfilment_lateness_daily;

create view reporting.fulfilment_lateness_daily as
select
    ship_by_on as ship_by_date,
    store_name,
    marketplace_id,
    count(*) as order_count,
    count(*) filter (where shipped_at <= ship_by_at) as confirmed_on_time_count,
    count(*) filter (where shipped_at > ship_by_at) as confirmed_late_count,
    count(*) filter (where shipped_at is null and ship_by_at < now()) as unconfirmed_count,
    count(*) filter (where shipped_at is null and ship_by_at >= now()) as not_due_count,
    round(
        count(*) filter (where coalesce(shipped_at, now()) > ship_by_at)
        / cast(nullif(count(*) filter (where shipped_at is not null or ship_by_at < now()), 0) as numeric),
        4
    ) as late_rate,
    0.04 as target_rate,
    max(loaded_at) as loaded_at
from reporting.fct_orders
where
    fulfilled_by = 'MERCHANT'
    and ship_by_on is not null
    and amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED', 'SHIPPED')
group by ship_by_on, store_name, marketplace_id;

comment on view reporting.fulfilment_lateness_daily is
'Of the orders that the merchant had to ship by each day: how many were shipped in time, late, or not yet.';
comment on column reporting.fulfilment_lateness_daily.ship_by_date is
'Day of the ship-by time in the marketplace''s time zone; UTC where there is none.';
comment on column reporting.fulfilment_lateness_daily.store_name is 'Store, as in fct_orders.';
comment on column reporting.fulfilment_lateness_daily.marketplace_id is
'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.fulfilment_lateness_daily.order_count is
'Orders that the merchant has to ship, or has shipped; canceled and pending ones are left out.';
comment on column reporting.fulfilment_lateness_daily.confirmed_on_time_count is
'Amazon counts them as shipped since before the ship-by time.';
comment on column reporting.fulfilment_lateness_daily.confirmed_late_count is
'Amazon counts them as shipped since after the ship-by time.';
comment on column reporting.fulfilment_lateness_daily.unconfirmed_count is 'Overdue and not shipped.';
comment on column reporting.fulfilment_lateness_daily.not_due_count is
'Not shipped, and the ship-by time is still to come.';
comment on column reporting.fulfilment_lateness_daily.late_rate is
'(confirmed_late_count + unconfirmed_count) divided by all but not_due_count; null: none was due.';
comment on column reporting.fulfilment_lateness_daily.target_rate is
'Amazon''s target for the late shipment rate: it is to stay below.';
comment on column reporting.fulfilment_lateness_daily.loaded_at is
'When the newest of the rows behind it was written, UTC.';
