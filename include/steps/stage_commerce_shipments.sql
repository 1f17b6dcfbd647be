-- name: lock
select pg_advisory_xact_lock(hashtext('stage_commerce_shipments'));

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
    orders.service_level,
    orders.programs,
    array(
        select row(items.amazon_item_id, items.qty)
        from core.shipment_items as items
        inner join core.order_items as lines
            on
                shipments.amazon_order_id = lines.amazon_order_id
                and items.amazon_item_id = lines.amazon_item_id
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

-- name: tracks
select commerce_track_id, carrier_code, carrier_title, tracking_number
from core.shipment_tracks
where commerce_connection = :commerce_connection and commerce_shipment_id = :commerce_shipment_id
order by cast(commerce_track_id as bigint);

-- name: known_packages
select
    package_reference_id,
    commerce_shipment_id,
    commerce_track_id,
    items,
    request_sha256,
    state,
    last_error_code
from ops.shipment_outbox
where amazon_order_id = :amazon_order_id
for update;

-- name: insert_package
insert into ops.shipment_outbox (
    amazon_order_id, package_reference_id, account_name, marketplace_id, commerce_connection, commerce_shipment_id,
    commerce_track_id, carrier_code, carrier_name, shipping_method, tracking_number, shipped_at, items, request_sha256,
    state, last_error_code, last_error, planned_at, dag_run_id, updated_at
)
values (
    :amazon_order_id, :package_reference_id, :account_name, :marketplace_id, :commerce_connection,
    :commerce_shipment_id, :commerce_track_id, :carrier_code, :carrier_name, :shipping_method, :tracking_number,
    :shipped_at, cast(:items as jsonb), :request_sha256, :state, :code, :error, :now, :dag_run_id, :now
);

-- name: drop_package
delete from ops.shipment_outbox
where amazon_order_id = :amazon_order_id and package_reference_id = :package_reference_id and state = 'skipped';

-- name: follow_track
update ops.shipment_outbox
set commerce_track_id = :commerce_track_id, dag_run_id = :dag_run_id, updated_at = :now
where amazon_order_id = :amazon_order_id and package_reference_id = :package_reference_id;

-- name: change_package
-- The track was corrected in Commerce: Amazon is told again under the same number.
update ops.shipment_outbox
set
    carrier_code = :carrier_code,
    carrier_name = :carrier_name,
    tracking_number = :tracking_number,
    request_sha256 = :request_sha256,
    state = 'planned',
    accepted_at = null,
    next_attempt_at = null,
    verify_count = 0,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and package_reference_id = :package_reference_id and state <> 'skipped';

-- name: finish_shipments
update raw.commerce_shipments as shipments
set is_staged = true
from newest
where
    shipments.commerce_connection = newest.commerce_connection
    and shipments.commerce_shipment_id = newest.commerce_shipment_id
    and not shipments.is_staged;

-- name: accounts_with_work
select distinct account_name
from ops.shipment_outbox
where state in ('planned', 'sent', 'in_doubt')
order by account_name;
