-- Dimensions and facts for analysts. publish_recent_orders fills them: its rules changed, so it publishes all orders
-- again, batch by batch.

create table reporting.dim_marketplaces (
    marketplace_id text not null,
    country_code text not null,
    region text not null,
    currency_code text not null,
    time_zone text not null,
    has_prices_with_tax boolean default 'false' not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_dim_marketplaces primary key (marketplace_id)
);

create table reporting.dim_stores (
    store_name text not null,
    account_name text not null,
    marketplace_id text not null,
    currency_code text not null,
    commerce_connection text not null,
    commerce_store_view text not null,
    is_import_enabled boolean default 'false' not null,
    is_connected boolean default 'false' not null,
    connected_at timestamp with time zone not null,
    import_since timestamp with time zone not null,
    at_risk_hours numeric(8, 2) not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_dim_stores primary key (store_name)
);

create table reporting.dim_blocker_codes (
    blocker_code text not null,
    severity text not null,
    title text not null,
    remedy text not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_dim_blocker_codes primary key (blocker_code)
);

create table reporting.fct_orders (
    amazon_order_id text not null,
    store_name text not null,
    account_name text not null,
    marketplace_id text,
    time_zone text not null,
    purchased_at timestamp with time zone not null,
    purchased_on date not null,
    last_updated_at timestamp with time zone not null,
    amazon_status text not null,
    status text not null,
    pipeline_state text not null,
    fulfilled_by text,
    service_level text,
    programs text[] default '{}' not null,
    is_replacement boolean default 'false' not null,
    is_importable boolean default 'false' not null,
    is_blocked boolean default 'false' not null,
    is_canceled boolean default 'false' not null,
    is_buyer_cancel_requested boolean default 'false' not null,
    canceled_by text,
    ship_by_at timestamp with time zone,
    ship_by_on date,
    deliver_by_at timestamp with time zone,
    landed_at timestamp with time zone not null,
    released_at timestamp with time zone,
    created_in_commerce_at timestamp with time zone,
    created_in_commerce_on date,
    shipped_at timestamp with time zone,
    canceled_at timestamp with time zone,
    item_count integer default '0' not null,
    ordered_qty integer default '0' not null,
    canceled_qty integer default '0' not null,
    fulfilled_qty integer default '0' not null,
    currency_code text,
    item_amount numeric(20, 4),
    discount_amount numeric(20, 4),
    shipping_amount numeric(20, 4),
    gift_wrap_amount numeric(20, 4),
    other_amount numeric(20, 4),
    tax_amount numeric(20, 4),
    grand_total_amount numeric(20, 4),
    commerce_order_number text,
    open_blocker_count integer default '0' not null,
    payload_sha256 text not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_fct_orders primary key (amazon_order_id)
);

create index ix_fct_orders_created_in_commerce_on on reporting.fct_orders (store_name, created_in_commerce_on);

create index ix_fct_orders_purchased_on on reporting.fct_orders (purchased_on);

create index ix_fct_orders_ship_by_on on reporting.fct_orders (store_name, ship_by_on) where fulfilled_by = 'MERCHANT';

create index ix_fct_orders_store_name_purchased_on on reporting.fct_orders (store_name, purchased_on);

create index ix_fct_orders_to_ship on reporting.fct_orders (store_name, ship_by_at) where fulfilled_by = 'MERCHANT'
and amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED');

create table reporting.fct_order_items (
    amazon_order_id text not null,
    amazon_item_id text not null,
    store_name text not null,
    marketplace_id text,
    purchased_at timestamp with time zone not null,
    purchased_on date not null,
    fulfilled_by text,
    is_order_canceled boolean default 'false' not null,
    line_number integer default '0' not null,
    seller_sku text not null,
    asin text,
    title text,
    ordered_qty integer default '0' not null,
    canceled_qty integer default '0' not null,
    fulfilled_qty integer default '0' not null,
    canceled_by text,
    is_buyer_cancel_requested boolean default 'false' not null,
    currency_code text,
    unit_price_amount numeric(20, 4),
    item_amount numeric(20, 4),
    discount_amount numeric(20, 4),
    shipping_amount numeric(20, 4),
    gift_wrap_amount numeric(20, 4),
    other_amount numeric(20, 4),
    tax_amount numeric(20, 4),
    line_total_amount numeric(20, 4),
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_fct_order_items primary key (amazon_order_id, amazon_item_id)
);

create index ix_fct_order_items_purchased_on on reporting.fct_order_items (purchased_on);

create index ix_fct_order_items_seller_sku on reporting.fct_order_items (seller_sku, purchased_on);

create index ix_fct_order_items_store_name_purchased_on on reporting.fct_order_items (store_name, purchased_on);

create table reporting.fct_order_status_changes (
    amazon_order_id text not null,
    system_code text not null,
    changed_at timestamp with time zone not null,
    to_code text not null,
    from_code text,
    changed_on date not null,
    store_name text not null,
    is_allowed boolean,
    reason text,
    detected_at timestamp with time zone not null,
    detected_dag_run_id text not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_fct_order_status_changes primary key (amazon_order_id, system_code, changed_at, to_code)
);

create index ix_fct_order_status_changes_changed_on on reporting.fct_order_status_changes (store_name, changed_on);

create index ix_fct_order_status_changes_not_allowed on reporting.fct_order_status_changes (
    store_name, changed_on
) where not is_allowed;

create table reporting.fct_order_blockers (
    blocker_episode_id bigint not null,
    amazon_order_id text not null,
    amazon_item_id text,
    store_name text not null,
    marketplace_id text,
    time_zone text not null,
    blocker_code text not null,
    severity text not null,
    seller_sku text,
    catalog_sku text,
    is_order_canceled boolean default 'false' not null,
    affected_qty numeric(12, 4) not null,
    available_qty numeric(12, 4),
    affected_amount numeric(20, 4),
    currency_code text,
    ship_by_at timestamp with time zone,
    opened_at timestamp with time zone not null,
    opened_on date not null,
    closed_at timestamp with time zone,
    closed_on date,
    closed_by_code text,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_fct_order_blockers primary key (blocker_episode_id)
);

create index ix_fct_order_blockers_amazon_order_id on reporting.fct_order_blockers (amazon_order_id);

create index ix_fct_order_blockers_days on reporting.fct_order_blockers using gist (
    daterange(opened_on, closed_on, '[]')
);

create index ix_fct_order_blockers_open on reporting.fct_order_blockers (
    store_name, blocker_code
) where closed_at is null;

create index ix_fct_order_blockers_opened_on on reporting.fct_order_blockers (opened_on);

create table reporting.fct_shipments (
    amazon_order_id text not null,
    package_reference_id text not null,
    store_name text not null,
    marketplace_id text,
    commerce_shipment_id text not null,
    state text not null,
    carrier_code text not null,
    has_tracking boolean default 'false' not null,
    shipped_qty numeric(12, 4) not null,
    shipped_at timestamp with time zone not null,
    shipped_on date not null,
    ship_by_at timestamp with time zone,
    confirmed_at timestamp with time zone,
    accepted_at timestamp with time zone,
    is_late boolean,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_fct_shipments primary key (amazon_order_id, package_reference_id)
);

create index ix_fct_shipments_shipped_on on reporting.fct_shipments (store_name, shipped_on);

-- An order's closed episodes are published, too.
create index ix_blocker_episodes_amazon_order_id on ops.blocker_episodes (amazon_order_id);

-- Who canceled a line; staging keeps it from now on, of older lines it is in Amazon's document.
alter table core.order_items add column canceled_by text;

update core.order_items as items
set canceled_by = item.document #>> '{cancellation,cancellationExecution,cancelledBy}'
from core.orders as orders
inner join raw.amazon_orders as landed
    on
        orders.amazon_order_id = landed.amazon_order_id
        and orders.amazon_last_updated_at = landed.last_updated_at
        and orders.payload_sha256 = landed.payload_sha256
cross join lateral jsonb_array_elements(landed.payload -> 'orderItems') as item (document)
where
    items.canceled_qty > 0
    and items.amazon_order_id = orders.amazon_order_id
    and items.amazon_item_id = item.document ->> 'orderItemId';
