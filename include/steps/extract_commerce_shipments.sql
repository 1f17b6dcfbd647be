-- name: shops
-- Every shop that has an order of ours, one index probe each, however many orders there are. Shops that stores.yaml
-- does not list any more matter only while orders of theirs are watched.
with recursive shops as (
    (
        select commerce_connection
        from ops.order_outbox
        where commerce_order_id is not null
        order by commerce_connection
        limit 1
    )
    union all
    select
        (
            select outbox.commerce_connection
            from ops.order_outbox as outbox
            where outbox.commerce_order_id is not null and outbox.commerce_connection > shops.commerce_connection
            order by outbox.commerce_connection
            limit 1
        )
    from shops
    where shops.commerce_connection is not null
)

select
    commerce_connection,
    commerce_connection in (
        select stores.commerce_connection
        from core.stores as stores
        where stores.is_connected
    ) as is_connected
from shops
where commerce_connection is not null
order by commerce_connection;

-- name: watermarks
select
    name,
    watermark
from ops.commerce_cursors
where commerce_connection = :commerce_connection;

-- name: advance
insert into ops.commerce_cursors (commerce_connection, name, watermark, updated_at, dag_run_id)
values (:commerce_connection, :name, :watermark, :now, :dag_run_id)
on conflict (commerce_connection, name) do update
    set watermark = excluded.watermark, updated_at = excluded.updated_at, dag_run_id = excluded.dag_run_id;

-- name: orders_to_sweep
-- The watched orders of a shop that were read longest ago. An order is read a last time when it is canceled, or
-- finished for so long that its tracks are not corrected any more.
select
    sweep.amazon_order_id,
    outbox.commerce_order_id,
    outbox.stock_released_at is null as holds_stock,
    orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE') as is_shippable,
    (
        orders.amazon_status in ('CANCELLED', 'UNFULFILLABLE')
        or orders.pipeline_state = 'completed' and orders.amazon_last_updated_at <= :completed_after
    ) as is_last_time
from ops.shipment_sweep as sweep
inner join ops.order_outbox as outbox on sweep.amazon_order_id = outbox.amazon_order_id
inner join core.orders as orders on sweep.amazon_order_id = orders.amazon_order_id
where outbox.commerce_connection = :commerce_connection and outbox.commerce_order_id is not null
order by sweep.swept_at, sweep.amazon_order_id
limit :portion;

-- name: mark_swept
with swept as (
    select amazon_order_id
    from ops.shipment_sweep
    where amazon_order_id = any(cast(:order_ids as text[]))
    order by amazon_order_id
    for update
)

update ops.shipment_sweep as sweep
set swept_at = :now
from swept
where sweep.amazon_order_id = swept.amazon_order_id;

-- name: end_watch
delete from ops.shipment_sweep
where amazon_order_id = any(cast(:order_ids as text[]));

-- name: land_shipments
-- Shipments of foreign orders, of orders that Amazon ships and of canceled ones are left out. A version that was seen
-- before but replaced since (a track taken back) has to be staged again.
insert into raw.commerce_shipments as shipments (
    commerce_connection, commerce_shipment_id, payload_sha256, commerce_order_id, amazon_order_id, payload, fetched_at,
    dag_run_id
)
select
    outbox.commerce_connection,
    landed.commerce_shipment_id,
    landed.payload_sha256,
    landed.commerce_order_id,
    outbox.amazon_order_id,
    cast(landed.payload as jsonb),
    :fetched_at,
    :dag_run_id
from
    unnest(
        cast(:commerce_shipment_id as text[]),
        cast(:payload_sha256 as text[]),
        cast(:commerce_order_id as text[]),
        cast(:payload as text[])
    ) as landed (commerce_shipment_id, payload_sha256, commerce_order_id, payload)
inner join ops.order_outbox as outbox
    on outbox.commerce_connection = :commerce_connection and landed.commerce_order_id = outbox.commerce_order_id
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where orders.fulfilled_by = 'MERCHANT' and orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE')
order by landed.commerce_shipment_id
on conflict (commerce_connection, commerce_shipment_id, payload_sha256) do update
    set fetched_at = excluded.fetched_at, is_staged = false
    where exists (
        select from raw.commerce_shipments as newer
        where
            newer.commerce_connection = shipments.commerce_connection
            and newer.commerce_shipment_id = shipments.commerce_shipment_id
            and newer.fetched_at > shipments.fetched_at
    );
