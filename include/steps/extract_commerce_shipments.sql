-- name: open_orders
-- Linked orders that the merchant ships; finished ones for some days more, for tracks that are corrected late and for
-- goods that Amazon knew as shipped before Commerce did.
select
    outbox.commerce_connection,
    outbox.commerce_order_id,
    outbox.amazon_order_id
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where
    outbox.state in ('created', 'adopted')
    and orders.fulfilled_by = 'MERCHANT'
    and orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE')
    and (orders.pipeline_state <> 'completed' or orders.amazon_last_updated_at > :completed_after)
order by outbox.commerce_connection, outbox.amazon_order_id;

-- name: insert_shipment
-- A version that was seen before but replaced since (a track taken back) has to be staged again.
insert into raw.commerce_shipments as shipments (
    commerce_connection, commerce_shipment_id, payload_sha256, commerce_order_id, amazon_order_id, payload, fetched_at,
    dag_run_id
)
values (
    :commerce_connection, :commerce_shipment_id, :payload_sha256, :commerce_order_id, :amazon_order_id,
    cast(:payload as jsonb), :now, :dag_run_id
)
on conflict (commerce_connection, commerce_shipment_id, payload_sha256) do update
    set fetched_at = excluded.fetched_at, is_staged = false
    where exists (
        select from raw.commerce_shipments as newer
        where
            newer.commerce_connection = shipments.commerce_connection
            and newer.commerce_shipment_id = shipments.commerce_shipment_id
            and newer.fetched_at > shipments.fetched_at
    );
