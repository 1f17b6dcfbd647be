-- name: split_packs
-- Of the given orders and of those that were found before: the packs that were not shipped whole, while Amazon waits.
select
    suspects.amazon_order_id,
    array_agg(shipped.qty % lines.pack_units || ' of the ' || lines.pack_units || ' units of ' || lines.seller_sku)
    filter (where shipped.qty % lines.pack_units > 0) as packs
from (
    select items.amazon_order_id
    from core.order_items as items
    where items.amazon_order_id = any(cast(:order_ids as text[])) and items.pack_units > 1
    union
    select episodes.amazon_order_id
    from ops.blocker_episodes as episodes
    where episodes.closed_at is null and episodes.severity = 'warning' and episodes.blocker_code = :code
) as suspects
inner join core.orders as orders on suspects.amazon_order_id = orders.amazon_order_id
left join core.order_items as lines
    on
        suspects.amazon_order_id = lines.amazon_order_id
        and lines.pack_units > 1
        and lines.ordered_qty > lines.canceled_qty
        and orders.amazon_status = any(cast(:open_statuses as text[]))
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
