-- Every filter of the Recent Orders page reads its page of orders from one index, in the order in which it shows them.
create index ix_recent_orders_status_purchased_at on reporting.recent_orders (status, purchased_at, amazon_order_id);
create index ix_recent_orders_store_name_status on reporting.recent_orders (
    store_name, status, purchased_at, amazon_order_id
);
