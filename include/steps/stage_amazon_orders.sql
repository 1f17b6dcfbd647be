-- name: lock
-- One stager at a time; a second copy waits and finds nothing left to do.
select pg_advisory_xact_lock(hashtext('stage_amazon_orders'));

-- name: orders_to_complete
-- Shipped on Amazon and linked, and both were seen before this run.
select
    orders.amazon_order_id,
    'completed' as to_code,
    'Shipped on Amazon; the Commerce order is linked.' as reason
from core.orders as orders
inner join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where
    orders.pipeline_state = 'created'
    and orders.amazon_status = 'SHIPPED'
    and outbox.finished_at is not null
    and orders.status_dag_run_id <> :dag_run_id
    and outbox.linked_dag_run_id <> :dag_run_id

-- name: claim_pages
create temporary table claimed_pages on commit drop as
select ingest_window_id, page_number
from ops.ingest_pages
where staged_at is null;

-- name: collect_versions
create temporary table versions on commit drop as
select
    landed.amazon_order_version_id,
    landed.amazon_order_id,
    landed.account_name,
    landed.last_updated_at,
    landed.payload,
    landed.payload_sha256,
    stores.store_name,
    channel.marketplace_id,
    coalesce(landed.payload #>> '{fulfillment,fulfillmentStatus}', 'UNKNOWN') as amazon_status
from claimed_pages
inner join raw.amazon_orders as landed
    on
        claimed_pages.ingest_window_id = landed.ingest_window_id
        and claimed_pages.page_number = landed.page_number
-- A sale outside Amazon, which Amazon only ships, belongs to no store: the merchant's own channel has it already.
left join lateral (
    select
        case
            when coalesce(landed.payload #>> '{salesChannel,channelName}', '') <> 'NON_AMAZON'
                then landed.payload #>> '{salesChannel,marketplaceId}'
        end as marketplace_id
) as channel on true
left join core.stores as stores
    on
        landed.account_name = stores.account_name
        and channel.marketplace_id = stores.marketplace_id;

-- name: collect_status_changes
-- Every change between the known version and the newest one, in Amazon's order of time. Kept until the orders exist.
create temporary table status_changes on commit drop as
select
    amazon_order_id,
    last_updated_at as changed_at,
    amazon_status as to_code,
    from_code
from (
    select
        versions.amazon_order_id,
        versions.last_updated_at,
        versions.amazon_status,
        coalesce(
            lag(versions.amazon_status) over (
                partition by versions.amazon_order_id
                order by versions.last_updated_at, versions.amazon_order_version_id
            ),
            orders.amazon_status
        ) as from_code
    from versions
    left join core.orders as orders on versions.amazon_order_id = orders.amazon_order_id
    where orders.amazon_order_id is null or versions.last_updated_at >= orders.amazon_last_updated_at
) as sequenced
where from_code is distinct from amazon_status;

-- name: collect_newest
create temporary table newest on commit drop as
select distinct on (amazon_order_id) *
from versions
order by amazon_order_id, last_updated_at desc, amazon_order_version_id desc;

-- name: collect_items
create temporary table newest_items on commit drop as
select
    newest.amazon_order_id,
    item.document ->> 'orderItemId' as amazon_item_id,
    item.position as line_number,
    coalesce(item.document #>> '{product,sellerSku}', '') as seller_sku,
    item.document #>> '{product,asin}' as asin,
    item.document #>> '{product,title}' as title,
    cast(item.document ->> 'quantityOrdered' as integer) as ordered_qty,
    coalesce(cast(item.document #>> '{fulfillment,quantityFulfilled}' as integer), 0) as fulfilled_qty,
    coalesce(
        item.document #>> '{proceeds,proceedsTotal,currencyCode}',
        item.document #>> '{product,price,unitPrice,currencyCode}'
    ) as currency_code,
    cast(item.document #>> '{product,price,unitPrice,amount}' as numeric) as unit_price_amount,
    money.item_amount,
    money.shipping_amount,
    money.gift_wrap_amount,
    money.tax_amount,
    money.discount_amount,
    money.other_amount,
    cast(item.document #>> '{proceeds,proceedsTotal,amount}' as numeric) as line_total_amount,
    item.document #> '{cancellation,cancellationRequest}' is not null as is_buyer_cancel_requested
from newest
cross join lateral jsonb_array_elements(newest.payload -> 'orderItems') with ordinality as item (document, position)
left join lateral (
    select
        sum(breakdown.amount) filter (where breakdown.type_code = 'ITEM') as item_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'SHIPPING') as shipping_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'GIFT_WRAP') as gift_wrap_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'TAX') as tax_amount,
        sum(abs(breakdown.amount)) filter (where breakdown.type_code = 'DISCOUNT') as discount_amount,
        sum(breakdown.amount) filter (
            where breakdown.type_code not in ('ITEM', 'SHIPPING', 'GIFT_WRAP', 'TAX', 'DISCOUNT')
        ) as other_amount
    from (
        select
            entry ->> 'type' as type_code,
            cast(entry #>> '{subtotal,amount}' as numeric) as amount
        from jsonb_array_elements(item.document #> '{proceeds,breakdowns}') as entry
    ) as breakdown
) as money on true;

-- name: collect_changed_orders
create temporary table changed_orders on commit drop as
with totals as (
    select
        amazon_order_id,
        count(*) as item_count,
        sum(ordered_qty) as ordered_qty,
        sum(fulfilled_qty) as fulfilled_qty,
        case when bool_and(line_total_amount is not null) then sum(line_total_amount) end as line_total_amount,
        min(currency_code) as currency_code,
        bool_or(is_buyer_cancel_requested) as is_buyer_cancel_requested
    from newest_items
    group by amazon_order_id
)

select
    newest.amazon_order_id,
    newest.account_name,
    newest.marketplace_id,
    newest.store_name,
    newest.amazon_status,
    newest.payload #>> '{fulfillment,fulfilledBy}' as fulfilled_by,
    newest.payload #>> '{fulfillment,fulfillmentServiceLevel}' as service_level,
    cast(newest.payload ->> 'createdTime' as timestamptz) as purchased_at,
    newest.last_updated_at as amazon_last_updated_at,
    cast(newest.payload #>> '{fulfillment,shipByWindow,latestDateTime}' as timestamptz) as ship_by_at,
    cast(newest.payload #>> '{fulfillment,deliverByWindow,latestDateTime}' as timestamptz) as deliver_by_at,
    cast(newest.payload #>> '{proceeds,grandTotal,amount}' as numeric) as grand_total_amount,
    totals.line_total_amount,
    coalesce(newest.payload #>> '{proceeds,grandTotal,currencyCode}', totals.currency_code) as currency_code,
    coalesce(
        abs(
            cast(newest.payload #>> '{proceeds,grandTotal,amount}' as numeric)
            - totals.line_total_amount
            - coalesce(extras.amount, 0)
        ) > 0.01 * totals.item_count,
        false
    ) as has_total_mismatch,
    coalesce(
        array(select jsonb_array_elements_text(newest.payload -> 'programs')),
        cast('{}' as text[])
    ) as programs,
    (
        select associated ->> 'orderId'
        from jsonb_array_elements(newest.payload -> 'associatedOrders') as associated
        where associated ->> 'associationType' in ('REPLACEMENT_ORIGINAL_ID', 'EXCHANGE_ORIGINAL_ID')
        limit 1
    ) as replaced_amazon_order_id,
    totals.item_count,
    totals.ordered_qty,
    totals.fulfilled_qty,
    totals.is_buyer_cancel_requested,
    newest.payload_sha256
from newest
inner join totals on newest.amazon_order_id = totals.amazon_order_id
left join lateral (
    select sum(cast(entry #>> '{subtotal,amount}' as numeric)) as amount
    from jsonb_array_elements(newest.payload #> '{proceeds,breakdowns}') as entry
    where entry ->> 'type' = 'DELIVERY_TIP'
) as extras on true
left join core.orders as known on newest.amazon_order_id = known.amazon_order_id
where
    known.amazon_order_id is null
    or known.amazon_last_updated_at < newest.last_updated_at
    or (known.amazon_last_updated_at = newest.last_updated_at and known.payload_sha256 <> newest.payload_sha256);

-- name: write_orders
insert into core.orders as orders (
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, service_level,
    purchased_at, amazon_last_updated_at, ship_by_at, deliver_by_at, grand_total_amount, line_total_amount,
    currency_code, has_total_mismatch, programs, replaced_amazon_order_id, item_count, ordered_qty, fulfilled_qty,
    is_buyer_cancel_requested, payload_sha256, pipeline_state, status_dag_run_id, dag_run_id, first_seen_at, loaded_at
)
select
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, service_level,
    purchased_at, amazon_last_updated_at, ship_by_at, deliver_by_at, grand_total_amount, line_total_amount,
    currency_code, has_total_mismatch, programs, replaced_amazon_order_id, item_count, ordered_qty, fulfilled_qty,
    is_buyer_cancel_requested, payload_sha256, 'new', :dag_run_id, :dag_run_id, :now, :now
from changed_orders
order by amazon_order_id
on conflict (amazon_order_id) do update
    set
        store_name = excluded.store_name,
        marketplace_id = excluded.marketplace_id,
        status_dag_run_id = case
            when orders.amazon_status = excluded.amazon_status then orders.status_dag_run_id
            else excluded.status_dag_run_id
        end,
        amazon_status = excluded.amazon_status,
        fulfilled_by = excluded.fulfilled_by,
        service_level = excluded.service_level,
        purchased_at = excluded.purchased_at,
        amazon_last_updated_at = excluded.amazon_last_updated_at,
        ship_by_at = excluded.ship_by_at,
        deliver_by_at = excluded.deliver_by_at,
        grand_total_amount = excluded.grand_total_amount,
        line_total_amount = excluded.line_total_amount,
        currency_code = excluded.currency_code,
        has_total_mismatch = excluded.has_total_mismatch,
        programs = excluded.programs,
        replaced_amazon_order_id = excluded.replaced_amazon_order_id,
        item_count = excluded.item_count,
        ordered_qty = excluded.ordered_qty,
        fulfilled_qty = excluded.fulfilled_qty,
        is_buyer_cancel_requested = excluded.is_buyer_cancel_requested,
        payload_sha256 = excluded.payload_sha256,
        -- What Amazon changed is judged anew, unless Commerce has or may have the order already.
        pipeline_state = case
            when orders.pipeline_state in ('waiting', 'not_imported', 'canceled', 'rejected') then 'new'
            else orders.pipeline_state
        end,
        dag_run_id = excluded.dag_run_id,
        loaded_at = excluded.loaded_at;

-- name: write_items
insert into core.order_items (
    amazon_order_id, amazon_item_id, line_number, seller_sku, asin, title, ordered_qty, fulfilled_qty, currency_code,
    unit_price_amount, item_amount, shipping_amount, gift_wrap_amount, tax_amount, discount_amount, other_amount,
    line_total_amount, is_buyer_cancel_requested
)
select
    newest_items.amazon_order_id, newest_items.amazon_item_id, newest_items.line_number, newest_items.seller_sku,
    newest_items.asin, newest_items.title, newest_items.ordered_qty, newest_items.fulfilled_qty,
    newest_items.currency_code, newest_items.unit_price_amount, newest_items.item_amount,
    newest_items.shipping_amount, newest_items.gift_wrap_amount, newest_items.tax_amount,
    newest_items.discount_amount, newest_items.other_amount, newest_items.line_total_amount,
    newest_items.is_buyer_cancel_requested
from newest_items
inner join changed_orders on newest_items.amazon_order_id = changed_orders.amazon_order_id
on conflict (amazon_order_id, amazon_item_id) do update
    set
        line_number = excluded.line_number,
        seller_sku = excluded.seller_sku,
        asin = excluded.asin,
        title = excluded.title,
        ordered_qty = excluded.ordered_qty,
        fulfilled_qty = excluded.fulfilled_qty,
        currency_code = excluded.currency_code,
        unit_price_amount = excluded.unit_price_amount,
        item_amount = excluded.item_amount,
        shipping_amount = excluded.shipping_amount,
        gift_wrap_amount = excluded.gift_wrap_amount,
        tax_amount = excluded.tax_amount,
        discount_amount = excluded.discount_amount,
        other_amount = excluded.other_amount,
        line_total_amount = excluded.line_total_amount,
        is_buyer_cancel_requested = excluded.is_buyer_cancel_requested;

-- name: drop_items_that_left
delete from core.order_items as items
using changed_orders
where
    items.amazon_order_id = changed_orders.amazon_order_id
    and not exists (
        select from newest_items
        where
            newest_items.amazon_order_id = items.amazon_order_id
            and newest_items.amazon_item_id = items.amazon_item_id
    );

-- name: write_status_changes
insert into core.order_status_changes (
    amazon_order_id, system_code, changed_at, to_code, from_code, detected_at, dag_run_id
)
select amazon_order_id, 'amazon', changed_at, to_code, from_code, :now, :dag_run_id
from status_changes
on conflict do nothing;

-- name: finish_pages
update ops.ingest_pages as pages
set staged_at = :now
from claimed_pages
where
    pages.ingest_window_id = claimed_pages.ingest_window_id
    and pages.page_number = claimed_pages.page_number;
