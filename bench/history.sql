-- name: without_triggers
-- Neither the queue of orders to publish nor foreign keys: the rows are right as they are.
set session_replication_role = replica;

-- name: with_triggers
set session_replication_role = default;

-- name: orders_of_chunk
-- What each order of the chunk is, drawn from its number: the same history every time.
create temporary table chunk on commit drop as
with shops as (
    select
        array_agg(store_name order by is_import_enabled desc, store_name) as names,
        count(*) as store_count
    from core.stores
),

drawn as (
    select
        n,
        n - cast(:finished as bigint) as open_number,
        '250-' || lpad(cast(n / 10000000 as text), 7, '0') || '-' || lpad(cast(n % 10000000 as text), 7, '0')
            as amazon_order_id,
        case
            when n <= :finished
                then
                    cast(:now as timestamptz)
                    - interval '730 days'
                    + interval '726 days' * (n / cast(:finished as float))
            else cast(:now as timestamptz) - interval '4 days' + interval '4 days' * ((n - :finished) / (:open + 1.0))
        end as purchased_at,
        (hashint8extended(n, 1) & 1048575) / 1048576.0 as store_pick,
        (hashint8extended(n, 2) & 1048575) % 100 as kind_pick,
        (hashint8extended(n, 3) & 1048575) % 100 as size_pick
    from generate_series(cast(:first as bigint), cast(:last as bigint)) as n
),

placed as (
    select
        drawn.*,
        stores.store_name,
        stores.account_name,
        stores.marketplace_id,
        stores.commerce_connection,
        stores.commerce_store_view,
        stores.currency_code,
        case
            when not stores.is_import_enabled or (drawn.open_number <= 0 and drawn.kind_pick < 3) then 'left_out'
            when drawn.open_number <= 0 and drawn.kind_pick < 10 then 'canceled'
            when drawn.open_number <= 0 and drawn.kind_pick < 30 then 'amazon_fulfilled'
            when drawn.open_number <= 0 then 'completed'
            when drawn.kind_pick < 40 then 'created'
            when drawn.kind_pick < 60 then 'package_sent'
            when drawn.kind_pick < 75 then 'blocked'
            when drawn.kind_pick < 85 then 'waiting'
            when drawn.kind_pick < 90 then 'ready'
            when drawn.kind_pick < 95 then 'rejected'
            else 'unfinished'
        end as kind
    from drawn
    cross join shops
    inner join core.stores as stores
        on stores.store_name = shops.names[1 + floor(shops.store_count * drawn.store_pick * drawn.store_pick)]
)

select
    *,
    (n - :first) / 100 + 1 as page_number,
    encode(sha256(convert_to(amazon_order_id, 'UTF8')), 'hex') as payload_sha256,
    case when size_pick < 65 then 1 when size_pick < 90 then 2 else 3 end as item_count,
    case when kind in ('completed', 'package_sent') then case when size_pick % 10 = 0 then 2 else 1 end else 0 end
        as package_count,
    kind in ('completed', 'amazon_fulfilled', 'created', 'package_sent', 'unfinished') as is_linked,
    20 + size_pick as line_amount,
    case
        when kind = 'canceled' then 'CANCELLED'
        when kind in ('completed', 'amazon_fulfilled') or (kind = 'left_out' and open_number <= 0) then 'SHIPPED'
        when kind = 'waiting' then 'PENDING'
        else 'UNSHIPPED'
    end as amazon_status,
    case
        when kind in ('completed', 'amazon_fulfilled') then 'completed'
        when kind in ('created', 'package_sent', 'unfinished') then 'created'
        when kind = 'left_out' then 'not_imported'
        else kind
    end as pipeline_state,
    case kind
        when 'left_out' then 'Import is disabled for this store; manage the order in Seller Central.'
        when 'canceled' then 'Amazon canceled the order before a Commerce order existed.'
        when 'waiting' then 'Amazon is still verifying the payment.'
        when 'ready' then 'Will be created in Commerce.'
        when 'blocked' then 'Product SKU-17 (Amazon SKU SKU-17) is not in the Commerce catalog.'
        when 'rejected' then 'Commerce refused the order: the region is required.'
        when 'completed' then 'Shipped on Amazon; the Commerce order is linked.'
        when 'amazon_fulfilled' then 'Shipped on Amazon; the Commerce order is linked.'
        else 'Created in Commerce as ' || lpad(cast(n as text), 9, '0') || '.'
    end as state_reason,
    case
        when kind = 'completed' and n % 50 = 0
            then
                'Amazon canceled 1 unit of SKU-17; taken off Commerce order ' || lpad(cast(n as text), 9, '0')
                || ', do not ship.'
    end as change_note
from placed;

-- name: ingest_windows
insert into ops.ingest_windows (
    ingest_window_id, account_name, updated_from, updated_to, query, page_count, orders_seen, state, opened_at,
    landed_at, dag_run_id
)
overriding system value
select
    :first, min(account_name), min(purchased_at), max(purchased_at), '{}', max(page_number), count(*), 'landed',
    max(purchased_at), max(purchased_at), 'history'
from chunk;

-- name: ingest_pages
insert into ops.ingest_pages (ingest_window_id, page_number, page_sha256, orders_seen, landed_at, staged_at)
select :first, page_number, min(payload_sha256), count(*), max(purchased_at), max(purchased_at)
from chunk
group by page_number;

-- name: amazon_orders
insert into raw.amazon_orders (
    amazon_order_id, account_name, last_updated_at, payload_sha256, payload, ingest_window_id, page_number, fetched_at,
    dag_run_id
)
select
    amazon_order_id, account_name, purchased_at, payload_sha256,
    jsonb_build_object(
        'orderId', amazon_order_id,
        'createdTime', purchased_at,
        'lastUpdatedTime', purchased_at,
        'salesChannel', jsonb_build_object('channelName', 'AMAZON', 'marketplaceId', marketplace_id),
        'fulfillment', jsonb_build_object('fulfillmentStatus', amazon_status, 'fulfilledBy', 'MERCHANT')
    ),
    :first, page_number, purchased_at, 'history'
from chunk;

-- name: order_contacts
insert into pii.order_contacts (amazon_order_id, contact_encrypted, last_updated_at, loaded_at)
select amazon_order_id, cast(:contact as bytea), purchased_at, purchased_at
from chunk;

-- name: orders
insert into core.orders (
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, service_level, purchased_at,
    amazon_last_updated_at, ship_by_at, grand_total_amount, line_total_amount, currency_code, item_count, ordered_qty,
    fulfilled_qty, pipeline_state, state_reason, payload_sha256, status_dag_run_id, dag_run_id, first_seen_at, loaded_at
)
select
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status,
    case when kind = 'amazon_fulfilled' then 'AMAZON' else 'MERCHANT' end, 'STANDARD', purchased_at, purchased_at,
    purchased_at + interval '2 days', line_amount * item_count, line_amount * item_count, currency_code, item_count,
    item_count, case when amazon_status = 'SHIPPED' then item_count else 0 end, pipeline_state, state_reason,
    payload_sha256, 'history', 'history', purchased_at, purchased_at
from chunk;

-- name: order_items
insert into core.order_items (
    amazon_order_id, amazon_item_id, line_number, seller_sku, asin, title, ordered_qty, fulfilled_qty, currency_code,
    unit_price_amount, item_amount, line_total_amount, commerce_item_id, commerce_qty
)
select
    chunk.amazon_order_id, chunk.n || '-' || line.number, line.number,
    'SKU-' || ((hashint8extended(chunk.n * 8 + line.number, 4) & 1048575) % 5000),
    'B000000000',
    'A thing for the house',
    1, case when chunk.amazon_status = 'SHIPPED' then 1 else 0 end, chunk.currency_code, chunk.line_amount,
    chunk.line_amount, chunk.line_amount, case when chunk.is_linked then chunk.n || '-' || line.number end,
    case when chunk.is_linked then 1 end
from chunk
cross join lateral generate_series(1, chunk.item_count) as line (number);

-- name: order_status_changes
insert into core.order_status_changes (
    amazon_order_id, system_code, changed_at, to_code, from_code, reason, detected_at, dag_run_id
)
select
    chunk.amazon_order_id, change.system_code, chunk.purchased_at + change.delay, change.to_code, change.from_code,
    chunk.state_reason, chunk.purchased_at + change.delay, 'history'
from chunk
cross join
    lateral (
        values
        ('amazon', interval '0', 'UNSHIPPED', null),
        ('amazon', interval '1 day', chunk.amazon_status, 'UNSHIPPED'),
        (
            'pipeline',
            interval '5 minutes',
            case when chunk.is_linked then 'created' else chunk.pipeline_state end,
            'new'
        ),
        ('pipeline', interval '1 day', chunk.pipeline_state, 'created')
    ) as change (system_code, delay, to_code, from_code)
where change.to_code is distinct from change.from_code;

-- name: order_outbox
insert into ops.order_outbox (
    amazon_order_id,
    account_name,
    store_name,
    commerce_connection,
    commerce_store_view,
    state,
    request_sha256,
    attempts,
    refusals, planned_at, sent_at, next_attempt_at, last_error_code, last_error, commerce_order_id,
    commerce_order_number, linked_at, linked_dag_run_id, invoiced_at, finished_at, dag_run_id, updated_at,
    stock_released_at
)
select
    amazon_order_id, account_name, store_name, commerce_connection, commerce_store_view,
    case when is_linked then 'created' when kind = 'ready' then 'planned' else 'rejected' end, payload_sha256, 1,
    case when kind = 'rejected' then 1 else 0 end, purchased_at, case when is_linked then purchased_at end,
    case when kind in ('rejected', 'unfinished') then cast(:now as timestamptz) + interval '1 hour' end,
    case kind when 'rejected' then '400' when 'unfinished' then 'unavailable' end,
    case kind
        when 'rejected' then state_reason
        when 'unfinished' then 'The Commerce order exists, but Commerce failed when it was to be invoiced.'
    end,
    case when is_linked then cast(n as text) end, case when is_linked then lpad(cast(n as text), 9, '0') end,
    case when is_linked then purchased_at end, case when is_linked then 'history' end,
    case when is_linked and kind <> 'unfinished' then purchased_at end,
    case when is_linked and kind <> 'unfinished' then purchased_at end, 'history', purchased_at,
    case when kind in ('completed', 'amazon_fulfilled', 'package_sent') then purchased_at end
from chunk
where is_linked or kind in ('ready', 'rejected');

-- name: order_change_outbox
-- Of one in fifty finished orders Amazon canceled a unit after its Commerce order was created.
insert into ops.order_change_outbox (
    amazon_order_id, kind, payload_sha256, account_name, commerce_connection, items, state, attempts, planned_at,
    sent_at, done_at, note, dag_run_id, updated_at
)
select
    amazon_order_id, 'canceled_units', payload_sha256, account_name, commerce_connection,
    jsonb_build_array(
        jsonb_build_object('amazon_item_id', n || '-1', 'seller_sku', 'SKU-17', 'canceled_qty', 1, 'keep_qty', 1)
    ),
    'done', 1, purchased_at, purchased_at, purchased_at, change_note, 'history', purchased_at
from chunk
where change_note is not null;

-- name: shipment_sweep
insert into ops.shipment_sweep (amazon_order_id, swept_at)
select amazon_order_id, purchased_at
from chunk
where
    kind in ('created', 'package_sent', 'unfinished')
    or (kind = 'completed' and purchased_at > cast(:now as timestamptz) - interval '14 days');

-- name: blocker_episodes
-- Open ones of what is blocked now; one in twenty finished orders was blocked for a while.
insert into ops.blocker_episodes (
    amazon_order_id, amazon_item_id, blocker_code, severity, seller_sku, catalog_sku, message, remedy, requested_qty,
    available_qty, affected_amount, currency_code, opened_at, last_seen_at, closed_at, closed_by_code, check_count,
    dag_run_id
)
select
    amazon_order_id, case when kind = 'rejected' then '' else n || '-1' end,
    case when kind = 'rejected' then 'rejected_by_commerce' else 'missing_product' end, 'critical', 'SKU-17', 'SKU-17',
    state_reason, 'Create the product in Commerce with this SKU.', 1, 0, line_amount, currency_code, purchased_at,
    purchased_at + interval '3 hours', case when open_number <= 0 then purchased_at + interval '3 hours' end,
    case when open_number <= 0 then 'solved' end, 36, 'history'
from chunk
where kind in ('blocked', 'rejected') or (kind in ('completed', 'amazon_fulfilled') and size_pick % 20 = 0);

-- name: quarantined_orders
-- One in fifty finished orders came in an unreadable form once; a sound version followed.
insert into ops.quarantined_orders (
    payload_sha256, account_name, amazon_order_id, findings, remedy, seen_count, first_seen_at, last_seen_at,
    released_at, dag_run_id
)
select
    payload_sha256, account_name, amazon_order_id, '{}', 'Report it.', 3, purchased_at,
    purchased_at + interval '10 minutes', purchased_at + interval '1 hour', 'history'
from chunk
where open_number <= 0 and n % 50 = 0;

-- name: commerce_shipments
insert into raw.commerce_shipments (
    commerce_connection, commerce_shipment_id, payload_sha256, commerce_order_id, amazon_order_id, payload, fetched_at,
    dag_run_id, is_staged
)
select
    commerce_connection, cast(n as text), payload_sha256, cast(n as text), amazon_order_id,
    jsonb_build_object('entity_id', n, 'order_id', n), purchased_at, 'history', true
from chunk
where package_count > 0;

-- name: shipments
insert into core.shipments (
    commerce_connection, commerce_shipment_id, commerce_order_id, amazon_order_id, shipped_at, loaded_at, dag_run_id
)
select
    commerce_connection, cast(n as text), cast(n as text), amazon_order_id, purchased_at + interval '1 day',
    purchased_at + interval '1 day', 'history'
from chunk
where package_count > 0;

-- name: shipment_items
insert into core.shipment_items (commerce_connection, commerce_shipment_id, amazon_item_id, qty)
select chunk.commerce_connection, cast(chunk.n as text), chunk.n || '-' || line.number, 1
from chunk
cross join lateral generate_series(1, chunk.item_count) as line (number)
where chunk.package_count > 0;

-- name: shipment_tracks
insert into core.shipment_tracks (
    commerce_connection, commerce_shipment_id, commerce_track_id, carrier_code, carrier_title, tracking_number
)
select
    chunk.commerce_connection,
    cast(chunk.n as text),
    cast(chunk.n * 10 + package.number as text),
    'ups',
    'UPS',
    '1Z' || chunk.n
from chunk
cross join lateral generate_series(1, chunk.package_count) as package (number);

-- name: shipment_outbox
insert into ops.shipment_outbox (
    amazon_order_id, package_reference_id, account_name, marketplace_id, commerce_connection, commerce_shipment_id,
    commerce_track_id, carrier_code, tracking_number, shipped_at, items, state, attempts, verify_count,
    planned_at, sent_at, accepted_at, dag_run_id, updated_at
)
select
    chunk.amazon_order_id, cast(package.number as text), chunk.account_name, chunk.marketplace_id,
    chunk.commerce_connection, cast(chunk.n as text), cast(chunk.n * 10 + package.number as text), 'UPS',
    '1Z' || chunk.n, chunk.purchased_at + interval '1 day',
    jsonb_build_array(jsonb_build_object('amazon_item_id', chunk.n || '-1', 'qty', 1)),
    case when chunk.kind = 'completed' then 'accepted' else 'sent' end, 1, 1, chunk.purchased_at + interval '1 day',
    chunk.purchased_at + interval '1 day',
    case when chunk.kind = 'completed' then chunk.purchased_at + interval '1 day' end, 'history',
    chunk.purchased_at + interval '1 day'
from chunk
cross join lateral generate_series(1, chunk.package_count) as package (number);

-- name: recent_orders
-- The rows of finished orders as publish_recent_orders writes them.
insert into reporting.recent_orders (
    store_name, purchased_at, amazon_order_id, status, grand_total_amount, currency_code, order_notes, order_url,
    commerce_order_number, fulfilled_by, ship_by_at, last_updated_at, loaded_at, dag_run_id, pipeline_state,
    is_importable
)
select
    orders.store_name, orders.purchased_at, orders.amazon_order_id,
    case chunk.kind when 'canceled' then 'Canceled' when 'left_out' then 'Shipped' else 'Completed' end,
    orders.grand_total_amount, orders.currency_code,
    concat_ws(' ', chunk.change_note, case
        when chunk.is_linked then 'Shipped; Commerce order ' || lpad(cast(chunk.n as text), 9, '0') || '.'
        else chunk.state_reason
    end),
    case
        when chunk.is_linked then stores.commerce_admin_url || '/sales/order/view/order_id/' || chunk.n
        else 'https://' || stores.seller_central_host || '/orders-v3/order/' || orders.amazon_order_id
    end,
    case when chunk.is_linked then lpad(cast(chunk.n as text), 9, '0') end, orders.fulfilled_by, orders.ship_by_at,
    orders.amazon_last_updated_at, orders.purchased_at, 'history', orders.pipeline_state, chunk.is_linked
from chunk
inner join core.orders as orders on chunk.amazon_order_id = orders.amazon_order_id
inner join core.stores as stores on orders.store_name = stores.store_name
where chunk.open_number <= 0;

-- name: queue_open_orders
insert into ops.orders_to_publish (amazon_order_id)
select amazon_order_id
from chunk
where open_number > 0;

-- name: products
insert into core.products (
    commerce_connection, commerce_store_view, catalog_sku, commerce_product_id, commerce_sku, product_name, type_id,
    is_enabled, salable_qty, checked_at, dag_run_id
)
select
    stores.commerce_connection, stores.commerce_store_view, 'SKU-' || n, n, 'SKU-' || n, 'A thing for the house',
    'simple', true, 100, :now, 'history'
from (select distinct commerce_connection, commerce_store_view from core.stores) as stores
cross join generate_series(0, 4999) as n
on conflict do nothing;
