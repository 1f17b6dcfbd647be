drop view if exists reporting.cancellations;

create view reporting.cancellations as
select
    purchased_on as sales_date,
    store_name,
    marketplace_id,
    fulfilled_by,
    count(*) as order_count,
    count(*) filter (where is_canceled) as canceled_order_count,
    count(*) filter (where is_canceled and canceled_by = 'BUYER') as canceled_by_buyer_count,
    count(*) filter (where is_canceled and canceled_by = 'MERCHANT') as canceled_by_seller_count,
    count(*) filter (where is_canceled and canceled_by = 'AMAZON') as canceled_by_amazon_count,
    count(*) filter (where is_canceled and coalesce(canceled_by, 'several') = 'several') as canceled_by_unclear_count,
    round(count(*) filter (where is_canceled) / cast(count(*) as numeric), 4) as cancel_rate,
    round(
        count(*) filter (where is_canceled and canceled_by = 'MERCHANT') / cast(count(*) as numeric), 4
    ) as seller_cancel_rate,
    count(*) filter (where not is_canceled and canceled_qty > 0) as partly_canceled_order_count,
    sum(canceled_qty) as canceled_qty,
    max(loaded_at) as loaded_at
from reporting.fct_orders
group by purchased_on, store_name, marketplace_id, fulfilled_by;

comment on view reporting.cancellations is
'How many orders of each day of purchase were canceled since, and by whom.';
comment on column reporting.cancellations.sales_date is
'Day of the purchase in the marketplace''s time zone; UTC where there is none.';
comment on column reporting.cancellations.store_name is 'Store, as in fct_orders.';
comment on column reporting.cancellations.marketplace_id is 'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.cancellations.fulfilled_by is 'MERCHANT or AMAZON.';
comment on column reporting.cancellations.order_count is 'All orders of the day, canceled ones included.';
comment on column reporting.cancellations.canceled_order_count is 'Those that are canceled as a whole.';
comment on column reporting.cancellations.canceled_by_buyer_count is 'Of these, canceled by the buyer.';
comment on column reporting.cancellations.canceled_by_seller_count is 'Of these, canceled by the seller.';
comment on column reporting.cancellations.canceled_by_amazon_count is 'Of these, canceled by Amazon.';
comment on column reporting.cancellations.canceled_by_unclear_count is
'Of these, Amazon does not say by whom, or it differs by line.';
comment on column reporting.cancellations.cancel_rate is 'canceled_order_count divided by order_count.';
comment on column reporting.cancellations.seller_cancel_rate is 'canceled_by_seller_count divided by order_count.';
comment on column reporting.cancellations.partly_canceled_order_count is
'Orders that are not canceled but have canceled units.';
comment on column reporting.cancellations.canceled_qty is 'Canceled units of all these orders.';
comment on column reporting.cancellations.loaded_at is 'When the newest of the rows behind it was written, UTC.';
