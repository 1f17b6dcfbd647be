drop view if exists reporting.daily_sales;

create view reporting.daily_sales as
select
    purchased_on as sales_date,
    store_name,
    marketplace_id,
    fulfilled_by,
    currency_code,
    count(*) filter (where not is_canceled) as order_count,
    coalesce(sum(ordered_qty - canceled_qty) filter (where not is_canceled), 0) as ordered_qty,
    cast(sum(item_amount) filter (where not is_canceled) as numeric(20, 4)) as item_amount,
    cast(sum(discount_amount) filter (where not is_canceled) as numeric(20, 4)) as discount_amount,
    cast(sum(shipping_amount) filter (where not is_canceled) as numeric(20, 4)) as shipping_amount,
    cast(sum(tax_amount) filter (where not is_canceled) as numeric(20, 4)) as tax_amount,
    cast(sum(grand_total_amount) filter (where not is_canceled) as numeric(20, 4)) as grand_total_amount,
    count(*) filter (where is_canceled) as canceled_order_count,
    count(grand_total_amount) filter (where not is_canceled) as priced_order_count,
    cast(avg(grand_total_amount) filter (where not is_canceled) as numeric(20, 4)) as average_order_amount,
    max(loaded_at) as loaded_at
from reporting.fct_orders
group by purchased_on, store_name, marketplace_id, fulfilled_by, currency_code;

comment on view reporting.daily_sales is
'Orders, units and money per day of purchase. Canceled orders are in canceled_order_count only.';
comment on column reporting.daily_sales.sales_date is
'Day of the purchase in the marketplace''s time zone; UTC where there is none.';
comment on column reporting.daily_sales.store_name is 'Store, as in fct_orders.';
comment on column reporting.daily_sales.marketplace_id is 'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.daily_sales.fulfilled_by is 'MERCHANT or AMAZON.';
comment on column reporting.daily_sales.currency_code is
'Currency of the amounts, ISO 4217; never add up rows of different currencies.';
comment on column reporting.daily_sales.order_count is
'Orders that are not canceled, also those of which Amazon gives no amount yet.';
comment on column reporting.daily_sales.ordered_qty is 'Units of these orders, without canceled units.';
comment on column reporting.daily_sales.item_amount is
'Ordered revenue: goods before discounts, with tax where prices include it; null: none is known.';
comment on column reporting.daily_sales.discount_amount is 'Discounts, positive.';
comment on column reporting.daily_sales.shipping_amount is 'Shipping.';
comment on column reporting.daily_sales.tax_amount is 'Tax; part of the other amounts where prices include it.';
comment on column reporting.daily_sales.grand_total_amount is 'What the buyers pay.';
comment on column reporting.daily_sales.canceled_order_count is
'Orders that are canceled; they count in no other column.';
comment on column reporting.daily_sales.priced_order_count is
'Orders of order_count of which the grand total is known.';
comment on column reporting.daily_sales.average_order_amount is 'Grand total divided by these.';
comment on column reporting.daily_sales.loaded_at is 'When the newest of the rows behind it was written, UTC.';
