drop view if exists reporting.ship_by_risk;

create view reporting.ship_by_risk as
select
    orders.amazon_order_id,
    orders.store_name,
    case
        when orders.ship_by_at < now() then 'overdue'
        when orders.is_blocked then 'blocked'
        when orders.pipeline_state = 'in_doubt' then 'in_doubt'
        when orders.ship_by_at < now() + make_interval(secs => 3600 * coalesce(stores.at_risk_hours, 24))
            then 'at_risk'
        else 'on_track'
    end as risk_code,
    orders.ship_by_at,
    round(cast(extract(epoch from orders.ship_by_at - now()) / 3600 as numeric), 2) as hours_left,
    orders.marketplace_id,
    orders.status,
    orders.is_blocked,
    orders.pipeline_state,
    orders.commerce_order_number,
    orders.ordered_qty - orders.canceled_qty - orders.fulfilled_qty as open_qty,
    orders.grand_total_amount,
    orders.currency_code,
    orders.loaded_at
from reporting.fct_orders as orders
left join reporting.dim_stores as stores on orders.store_name = stores.store_name
where orders.fulfilled_by = 'MERCHANT' and orders.amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED');

comment on view reporting.ship_by_risk is
'Every order that the merchant still has to ship, blocked and unclear ones included, and how urgent it is.';
comment on column reporting.ship_by_risk.amazon_order_id is 'Amazon''s order id.';
comment on column reporting.ship_by_risk.store_name is 'Store, as in fct_orders.';
comment on column reporting.ship_by_risk.risk_code is
'First that fits: overdue, blocked, in_doubt (outcome unknown), at_risk (dim_stores.at_risk_hours), on_track.';
comment on column reporting.ship_by_risk.ship_by_at is 'Latest moment to ship, UTC; null: Amazon gives none.';
comment on column reporting.ship_by_risk.hours_left is 'Hours until then; negative: overdue.';
comment on column reporting.ship_by_risk.marketplace_id is 'Amazon''s marketplace id; null: sold outside Amazon.';
comment on column reporting.ship_by_risk.status is 'The status that people see.';
comment on column reporting.ship_by_risk.is_blocked is 'Something prevents its creation or completion in Commerce.';
comment on column reporting.ship_by_risk.pipeline_state is 'Where the order is in our process.';
comment on column reporting.ship_by_risk.commerce_order_number is 'Number of the Commerce order.';
comment on column reporting.ship_by_risk.open_qty is 'Units that are neither shipped nor canceled.';
comment on column reporting.ship_by_risk.grand_total_amount is 'What the buyer pays; null while Amazon gives none.';
comment on column reporting.ship_by_risk.currency_code is 'Its currency, ISO 4217.';
comment on column reporting.ship_by_risk.loaded_at is 'When the row behind it was written, UTC.';
