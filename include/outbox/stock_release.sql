-- name: release_ended_orders
update ops.order_outbox
set stock_released_at = :now, dag_run_id = :dag_run_id, updated_at = :now
where
    commerce_connection = :commerce_connection
    and commerce_order_id = any(cast(:commerce_order_ids as text[]))
    and stock_released_at is null;

-- name: release_shipped_orders
-- Those of the orders of which every unit is in a shipment.
update ops.order_outbox as outbox
set stock_released_at = :now, dag_run_id = :dag_run_id, updated_at = :now
where
    outbox.amazon_order_id = any(cast(:order_ids as text[]))
    and outbox.stock_released_at is null
    and not exists (
        select from core.order_items as items
        where
            items.amazon_order_id = outbox.amazon_order_id
            and (items.ordered_qty - items.canceled_qty) * items.pack_units > (
                select coalesce(sum(shipment_items.qty), 0)
                from core.shipments as shipments
                inner join core.shipment_items as shipment_items
                    on
                        shipments.commerce_connection = shipment_items.commerce_connection
                        and shipments.commerce_shipment_id = shipment_items.commerce_shipment_id
                where
                    shipments.amazon_order_id = items.amazon_order_id
                    and shipment_items.amazon_item_id = items.amazon_item_id
            )
    );
