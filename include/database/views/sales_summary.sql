drop view if exists reporting.sales_summary;

create view reporting.sales_summary as
select
    store_name,
    marketplace_id,
    currency_code,
    count(*) filter (where days_ago < 7) as last_7_days_order_count,
    cast(sum(grand_total_amount) filter (where days_ago < 7) as numeric(20, 4)) as last_7_days_amount,
    count(*) filter (where days_ago < 30) as last_30_days_order_count,
    cast(sum(grand_total_amount) filter (where days_ago < 30) as numeric(20, 4)) as last_30_days_amount,
    count(*) as lifetime_order_count,
    cast(sum(grand_total_amount) as numeric(20, 4)) as lifetime_amount,
    min(purchased_on) as first_sales_date,
    max(loaded_at) as loaded_at
from (
    select
        orders.*,
        cast(now() at time zone orders.time_zone as date) - orders.purchased_on as days_ago
    from reporting.fct_orders as orders
    where not orders.is_canceled
) as sold
group by store_name, marketplace_id, currency_code;

comment on view reporting.sales_summary is
'The sales figures of the retired extension: what each store sold in 7 days, in 30 days and since it is known here.';
comment on column reporting.sales_summary.store_name is 'Store, as in fct_orders.';
comment on column reporting.sales_summary.marketplace_id is 'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.sales_summary.currency_code is
'Currency of the amounts, ISO 4217; never add up rows of different currencies.';
comment on column reporting.sales_summary.last_7_days_order_count is
'Orders of today and the 6 days before, in the marketplace''s time zone, without canceled ones.';
comment on column reporting.sales_summary.last_7_days_amount is 'Their grand totals.';
comment on column reporting.sales_summary.last_30_days_order_count is
'Orders of today and the 29 days before, without canceled ones.';
comment on column reporting.sales_summary.last_30_days_amount is 'Their grand totals.';
comment on column reporting.sales_summary.lifetime_order_count is 'All orders here, without canceled ones.';
comment on column reporting.sales_summary.lifetime_amount is 'Their grand totals.';
comment on column reporting.sales_summary.first_sales_date is 'Day of the first of them.';
comment on column reporting.sales_summary.loaded_at is 'When the newest of the rows behind it was written, UTC.';
