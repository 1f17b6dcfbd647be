drop view if exists reporting.order_timeline;

create view reporting.order_timeline as
select
    amazon_order_id,
    purchased_at as happened_at,
    'amazon' as system_code,
    'purchased' as event_code,
    cast(null as text) as detail,
    store_name
from reporting.fct_orders
union all
select
    amazon_order_id,
    created_in_commerce_at,
    'commerce',
    'order_created',
    commerce_order_number,
    store_name
from reporting.fct_orders
where created_in_commerce_at is not null
union all
select
    amazon_order_id,
    changed_at,
    system_code,
    'status_changed',
    concat_ws(': ', concat_ws(' -> ', from_code, to_code), reason),
    store_name
from reporting.fct_order_status_changes
union all
select
    amazon_order_id,
    opened_at,
    'pipeline',
    'blocker_opened',
    concat_ws(' ', blocker_code, seller_sku),
    store_name
from reporting.fct_order_blockers
union all
select
    amazon_order_id,
    closed_at,
    'pipeline',
    'blocker_closed',
    concat_ws(' ', blocker_code, seller_sku) || coalesce(': ' || closed_by_code, ''),
    store_name
from reporting.fct_order_blockers
where closed_at is not null
union all
select
    amazon_order_id,
    shipped_at,
    'commerce',
    'package_shipped',
    'package ' || package_reference_id,
    store_name
from reporting.fct_shipments
union all
select
    amazon_order_id,
    confirmed_at,
    'amazon',
    'package_sent',
    'package ' || package_reference_id,
    store_name
from reporting.fct_shipments
where confirmed_at is not null
union all
select
    amazon_order_id,
    accepted_at,
    'amazon',
    'package_accepted',
    'package ' || package_reference_id,
    store_name
from reporting.fct_shipments
where accepted_at is not null;

comment on view reporting.order_timeline is
'What happened with an order, event by event. Ask for single orders; sort by happened_at.';
comment on column reporting.order_timeline.amazon_order_id is 'Amazon''s order id.';
comment on column reporting.order_timeline.happened_at is 'When, UTC.';
comment on column reporting.order_timeline.system_code is 'Where: amazon, commerce, or pipeline (our own process).';
comment on column reporting.order_timeline.event_code is
'What: purchased, status_changed, order_created, blocker_opened or _closed, package_shipped, _sent or _accepted.';
comment on column reporting.order_timeline.detail is
'The states, the blocker with its SKU, the order number or the package.';
comment on column reporting.order_timeline.store_name is 'Store, as in fct_orders.';
