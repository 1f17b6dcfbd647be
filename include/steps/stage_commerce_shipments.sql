-- name: write_shipments
insert into core.shipments (
    commerce_connection, commerce_shipment_id, commerce_order_id, amazon_order_id, shipped_at, loaded_at, dag_run_id
)
select
    commerce_connection,
    commerce_shipment_id,
    commerce_order_id,
    amazon_order_id,
    shipped_at,
    :now,
    :dag_run_id
from newest
on conflict (commerce_connection, commerce_shipment_id) do update
    set loaded_at = excluded.loaded_at, dag_run_id = excluded.dag_run_id;

-- name: write_items
insert into core.shipment_items (commerce_connection, commerce_shipment_id, amazon_item_id, qty)
select
    newest_items.commerce_connection,
    newest_items.commerce_shipment_id,
    lines.amazon_item_id,
    sum(newest_items.qty)
from newest_items
inner join core.order_items as lines
    on
        newest_items.amazon_order_id = lines.amazon_order_id
        and newest_items.commerce_item_id = lines.commerce_item_id
group by newest_items.commerce_connection, newest_items.commerce_shipment_id, lines.amazon_item_id
on conflict (commerce_connection, commerce_shipment_id, amazon_item_id) do update set qty = excluded.qty;

-- name: drop_tracks_that_left
delete from core.shipment_tracks as tracks
using newest
where
    tracks.commerce_connection = newest.commerce_connection
    and tracks.commerce_shipment_id = newest.commerce_shipment_id;

-- name: write_tracks
insert into core.shipment_tracks (
    commerce_connection, commerce_shipment_id, commerce_track_id, carrier_code, carrier_title, tracking_number
)
select commerce_connection, commerce_shipment_id, commerce_track_id, carrier_code, carrier_title, tracking_number
from newest_tracks;

-- name: shipments_to_plan
select
    shipments.commerce_connection,
    shipments.commerce_shipment_id,
    shipments.amazon_order_id,
    shipments.shipped_at,
    orders.account_name,
    orders.marketplace_id,
    orders.store_name,
    orders.service_level,
    orders.programs,
    orders.fulfilled_by,
    array(
        select row(items.amazon_item_id, items.qty, lines.pack_units, coalesce(planned.qty, items.qty))
        from core.shipment_items as items
        inner join core.order_items as lines
            on
                shipments.amazon_order_id = lines.amazon_order_id
                and items.amazon_item_id = lines.amazon_item_id
        left join lateral (
            -- In all shipments of the line but those of which the packages are planned after this one's.
            select sum(others_items.qty) as qty
            from core.shipments as others
            inner join core.shipment_items as others_items
                on
                    others.commerce_connection = others_items.commerce_connection
                    and others.commerce_shipment_id = others_items.commerce_shipment_id
            left join newest as later
                on
                    others.commerce_connection = later.commerce_connection
                    and others.commerce_shipment_id = later.commerce_shipment_id
                    and (others.shipped_at, cast(others.commerce_shipment_id as bigint))
                    > (shipments.shipped_at, cast(shipments.commerce_shipment_id as bigint))
            where
                lines.pack_units > 1
                and others.amazon_order_id = lines.amazon_order_id
                and others_items.amazon_item_id = lines.amazon_item_id
                and later.commerce_shipment_id is null
        ) as planned on true
        where
            items.commerce_connection = shipments.commerce_connection
            and items.commerce_shipment_id = shipments.commerce_shipment_id
        order by lines.line_number
    ) as items
from newest
inner join core.shipments as shipments
    on
        newest.commerce_connection = shipments.commerce_connection
        and newest.commerce_shipment_id = shipments.commerce_shipment_id
inner join core.orders as orders on shipments.amazon_order_id = orders.amazon_order_id
order by shipments.amazon_order_id, shipments.shipped_at, cast(shipments.commerce_shipment_id as bigint);

-- name: finish_shipments
update raw.commerce_shipments as shipments
set is_staged = true
from newest
where
    shipments.commerce_connection = newest.commerce_connection
    and shipments.commerce_shipment_id = newest.commerce_shipment_id
    and not shipments.is_staged;

-- name: note_failure
select amazon_order_id, pipeline_state as to_code, cast(:note as text) as reason
from core.orders
where amazon_order_id = :order_id;
