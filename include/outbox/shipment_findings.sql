-- name: untracked_shipments
-- Of the given orders and of those that were found before: the shipments without a tracking number, while Amazon waits.
select
    suspects.amazon_order_id,
    array_agg(shipments.commerce_shipment_id order by cast(shipments.commerce_shipment_id as bigint))
    filter (where shipments.commerce_shipment_id is not null) as facts
from (
    select unnest(cast(:order_ids as text[])) as amazon_order_id
    union
    select episodes.amazon_order_id
    from ops.blocker_episodes as episodes
    where episodes.closed_at is null and episodes.severity = 'warning' and episodes.blocker_code = :code
) as suspects
inner join core.orders as orders on suspects.amazon_order_id = orders.amazon_order_id
left join core.shipments as shipments
    on
        suspects.amazon_order_id = shipments.amazon_order_id
        and orders.store_name = any(cast(:store_names as text[]))
        and orders.amazon_status = any(cast(:open_statuses as text[]))
        and not :ship_plus = any(orders.programs)
        and not exists (
            select from core.shipment_tracks as tracks
            where
                tracks.commerce_connection = shipments.commerce_connection
                and tracks.commerce_shipment_id = shipments.commerce_shipment_id
        )
group by suspects.amazon_order_id
order by suspects.amazon_order_id;

-- name: shipped_twice
-- Of the given orders and of those that were found before: the lines of which more is shipped than was ordered.
select
    suspects.amazon_order_id,
    array_agg(
        shipped.qty || ' of ' || lines.ordered_qty * lines.pack_units || ' units of ' || lines.seller_sku
        order by lines.line_number
    ) filter (where shipped.qty > lines.ordered_qty * lines.pack_units) as facts
from (
    select unnest(cast(:order_ids as text[])) as amazon_order_id
    union
    select episodes.amazon_order_id
    from ops.blocker_episodes as episodes
    where episodes.closed_at is null and episodes.severity = 'warning' and episodes.blocker_code = :code
) as suspects
left join core.order_items as lines
    on
        suspects.amazon_order_id = lines.amazon_order_id
        and not exists (
            select from ops.blocker_episodes as episodes
            where
                episodes.amazon_order_id = suspects.amazon_order_id
                and episodes.closed_at is null
                and episodes.blocker_code = :deleted
        )
left join lateral (
    select cast(sum(shipment_items.qty) as integer) as qty
    from core.shipments as shipments
    inner join core.shipment_items as shipment_items
        on
            shipments.commerce_connection = shipment_items.commerce_connection
            and shipments.commerce_shipment_id = shipment_items.commerce_shipment_id
    where
        shipments.amazon_order_id = lines.amazon_order_id
        and shipment_items.amazon_item_id = lines.amazon_item_id
) as shipped on true
group by suspects.amazon_order_id
order by suspects.amazon_order_id;

-- name: shipments_of_orders
select shipments.commerce_shipment_id
from ops.order_outbox as outbox
inner join core.shipments as shipments
    on
        outbox.amazon_order_id = shipments.amazon_order_id
        and outbox.commerce_connection = shipments.commerce_connection
where
    outbox.commerce_connection = :commerce_connection
    and outbox.commerce_order_id = any(cast(:commerce_order_ids as text[]))
order by shipments.commerce_shipment_id;

-- name: skip_packages
update ops.shipment_outbox
set
    state = 'skipped',
    last_error_code = 'shipment_deleted',
    last_error = 'Shipment ' || commerce_shipment_id || ' was deleted in Commerce before it was confirmed to Amazon.',
    updated_at = :now,
    dag_run_id = :dag_run_id
where
    commerce_connection = :commerce_connection
    and commerce_shipment_id = any(cast(:commerce_shipment_ids as text[]))
    and state = 'planned'
    and attempts = 0;

-- name: deleted_shipments
-- The given orders, with those of the given shipments that Amazon may know.
select
    orders.amazon_order_id,
    array_agg(distinct packages.commerce_shipment_id || ' (tracking number ' || packages.tracking_number || ')')
    filter (where packages.commerce_shipment_id is not null) as facts
from core.orders as orders
left join ops.shipment_outbox as packages
    on
        orders.amazon_order_id = packages.amazon_order_id
        and packages.commerce_connection = :commerce_connection
        and packages.commerce_shipment_id = any(cast(:commerce_shipment_ids as text[]))
        and packages.state not in ('skipped', 'rejected')
        and orders.amazon_status = any(cast(:watched_statuses as text[]))
where orders.amazon_order_id = any(cast(:order_ids as text[]))
group by orders.amazon_order_id
order by orders.amazon_order_id;
