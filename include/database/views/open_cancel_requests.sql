drop view if exists core.open_cancel_requests;

create view core.open_cancel_requests as
select orders.amazon_order_id
from core.orders as orders
where
    orders.is_buyer_cancel_requested
    and orders.amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED')
    and exists (
        select from core.order_items as items
        where
            items.amazon_order_id = orders.amazon_order_id
            and items.is_buyer_cancel_requested
            and items.ordered_qty > items.canceled_qty
    );

comment on view core.open_cancel_requests is
'Orders of which the buyer asks to cancel something that is still open.';
comment on column core.open_cancel_requests.amazon_order_id is 'Amazon''s order id.';
