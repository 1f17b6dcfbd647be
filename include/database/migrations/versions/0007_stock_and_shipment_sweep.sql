-- Shipments are read by change; a slow sweep reads those of watched orders again and again.
create table ops.commerce_cursors (
    commerce_connection text not null,
    name text not null,
    watermark timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_commerce_cursors primary key (commerce_connection, name)
);

create table ops.shipment_sweep (
    amazon_order_id text not null,
    swept_at timestamp with time zone not null,
    constraint pk_shipment_sweep primary key (amazon_order_id),
    constraint fk_shipment_sweep_amazon_order_id
    foreign key (amazon_order_id) references core.orders (amazon_order_id)
);

alter table ops.order_outbox add column stock_released_at timestamp with time zone;

-- Nothing that Recent Orders shows changes here: the rows need not be published again.
alter table ops.order_outbox disable trigger user;
update ops.order_outbox as outbox
set stock_released_at = outbox.updated_at
from core.orders as orders
where
    outbox.amazon_order_id = orders.amazon_order_id
    and outbox.state in ('created', 'adopted')
    and (
        orders.fulfilled_by is distinct from 'MERCHANT'
        or not exists (
            select from core.order_items as items
            where
                items.amazon_order_id = outbox.amazon_order_id
                and items.ordered_qty > (
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
        )
    );
alter table ops.order_outbox enable trigger user;

-- Orders that still hold stock are asked about once, however old: an old one may have ended in Commerce unseen.
insert into ops.shipment_sweep (amazon_order_id, swept_at)
select
    outbox.amazon_order_id,
    outbox.linked_at
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where
    outbox.state in ('created', 'adopted')
    and orders.fulfilled_by = 'MERCHANT'
    and (
        outbox.stock_released_at is null
        or orders.pipeline_state <> 'completed'
        or orders.amazon_last_updated_at > now() - interval '14 days'
    );

create index ix_shipment_sweep_swept_at on ops.shipment_sweep (swept_at, amazon_order_id);
create index ix_order_outbox_stock on ops.order_outbox (amazon_order_id)
where stock_released_at is null and state in ('planned', 'sent', 'in_doubt', 'created', 'adopted');
create index ix_orders_created on core.orders (amazon_status) where pipeline_state = 'created';
create index ix_orders_without_store on core.orders (account_name, marketplace_id) where store_name is null;
