-- name: landed_orders
select distinct amazon_order_id
from raw.commerce_shipments
where not is_staged
order by amazon_order_id;

-- name: newest
create temporary table newest on commit drop as
select distinct on (commerce_connection, commerce_shipment_id)
    commerce_connection,
    commerce_shipment_id,
    commerce_order_id,
    amazon_order_id,
    cast(payload ->> 'created_at' as timestamp) at time zone 'UTC' as shipped_at,
    payload -> 'items' as item_documents,
    payload -> 'tracks' as track_documents
from raw.commerce_shipments
where not is_staged and amazon_order_id = any(:order_ids)
order by commerce_connection, commerce_shipment_id, fetched_at desc;

-- name: newest_items
create temporary table newest_items on commit drop as
select
    newest.commerce_connection,
    newest.commerce_shipment_id,
    newest.amazon_order_id,
    entry ->> 'order_item_id' as commerce_item_id,
    cast(entry ->> 'qty' as numeric) as qty
from newest
cross join lateral jsonb_array_elements(newest.item_documents) as entry;

-- name: newest_tracks
create temporary table newest_tracks on commit drop as
select
    newest.commerce_connection,
    newest.commerce_shipment_id,
    entry ->> 'entity_id' as commerce_track_id,
    entry ->> 'carrier_code' as carrier_code,
    entry ->> 'title' as carrier_title,
    btrim(entry ->> 'track_number') as tracking_number
from newest
cross join lateral jsonb_array_elements(newest.track_documents) as entry
where btrim(entry ->> 'track_number') <> '';

-- name: drop_collected
drop table newest, newest_items, newest_tracks;
