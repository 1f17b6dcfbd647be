drop view if exists reporting.daily_sales_by_sku;

create view reporting.daily_sales_by_sku as
select
    purchased_on as sales_date,
    store_name,
    marketplace_id,
    fulfilled_by,
    currency_code,
    seller_sku,
    count(distinct amazon_order_id) filter (where is_sold) as order_count,
    coalesce(sum(ordered_qty - canceled_qty) filter (where is_sold), 0) as ordered_qty,
    cast(sum(item_amount) filter (where is_sold) as numeric(20, 4)) as item_amount,
    cast(sum(discount_amount) filter (where is_sold) as numeric(20, 4)) as discount_amount,
    cast(sum(shipping_amount) filter (where is_sold) as numeric(20, 4)) as shipping_amount,
    cast(sum(tax_amount) filter (where is_sold) as numeric(20, 4)) as tax_amount,
    count(distinct amazon_order_id) filter (where is_order_canceled) as canceled_order_count,
    max(asin) as asin,
    max(title) as title,
    max(loaded_at) as loaded_at
from (
    select
        items.*,
        not items.is_order_canceled and items.ordered_qty > items.canceled_qty as is_sold
    from reporting.fct_order_items as items
) as lines
group by purchased_on, store_name, marketplace_id, fulfilled_by, currency_code, seller_sku;

comment on view reporting.daily_sales_by_sku is
'Units and money per SKU and day of purchase. An order with two SKUs counts in two rows.';
comment on column reporting.daily_sales_by_sku.sales_date is
'Day of the purchase in the marketplace''s time zone; UTC where there is none.';
comment on column reporting.daily_sales_by_sku.store_name is 'Store, as in fct_orders.';
comment on column reporting.daily_sales_by_sku.marketplace_id is 'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.daily_sales_by_sku.fulfilled_by is 'MERCHANT or AMAZON.';
comment on column reporting.daily_sales_by_sku.currency_code is
'Currency of the amounts, ISO 4217; never add up rows of different currencies.';
comment on column reporting.daily_sales_by_sku.seller_sku is 'SKU on Amazon; empty when Amazon sent none.';
comment on column reporting.daily_sales_by_sku.order_count is
'Orders that are not canceled and of which at least one unit of the SKU is left.';
comment on column reporting.daily_sales_by_sku.ordered_qty is 'Units of these orders, without canceled units.';
comment on column reporting.daily_sales_by_sku.item_amount is
'Ordered revenue: goods before discounts, with tax where prices include it; null: none is known.';
comment on column reporting.daily_sales_by_sku.discount_amount is 'Discounts, positive.';
comment on column reporting.daily_sales_by_sku.shipping_amount is 'Shipping.';
comment on column reporting.daily_sales_by_sku.tax_amount is 'Tax; part of the other amounts where prices include it.';
comment on column reporting.daily_sales_by_sku.canceled_order_count is
'Canceled orders with the SKU; they count in no other column.';
comment on column reporting.daily_sales_by_sku.asin is 'Amazon''s catalog id.';
comment on column reporting.daily_sales_by_sku.title is 'Title on Amazon.';
comment on column reporting.daily_sales_by_sku.loaded_at is 'When the newest of the rows behind it was written, UTC.';
