-- name: accounts
select distinct
    account_name,
    seller_id,
    region
from core.stores;

-- name: changed_stores
select stores.store_name
from
    unnest(
        cast(:account_names as text[]), cast(:marketplace_ids as text[]), cast(:settings_sha256s as text[])
    ) as listed (account_name, marketplace_id, settings_sha256)
inner join core.stores as stores
    on listed.account_name = stores.account_name and listed.marketplace_id = stores.marketplace_id
where stores.settings_sha256 <> listed.settings_sha256 or not stores.is_connected;

-- name: orders_to_check_again
-- Of a store that is back in the file, too: its orders were left out because it was gone.
select
    orders.amazon_order_id,
    'new' as to_code,
    'The settings of its store changed; checked again in this run.' as reason
from
    unnest(
        cast(:account_names as text[]), cast(:marketplace_ids as text[]), cast(:settings_sha256s as text[])
    ) as listed (account_name, marketplace_id, settings_sha256)
inner join core.stores as stores
    on listed.account_name = stores.account_name and listed.marketplace_id = stores.marketplace_id
inner join core.orders as orders on stores.store_name = orders.store_name
where
    (stores.settings_sha256 <> listed.settings_sha256 or not stores.is_connected)
    and orders.pipeline_state in ('not_imported', 'waiting');

-- name: free_names
-- Two stores may swap their names in one edit; a name that moves is parked so that the upsert finds it free.
update core.stores
set store_name = store_name || ' (' || account_name || ' ' || marketplace_id || ')'
where store_name = :store_name and (account_name, marketplace_id) <> (:account_name, :marketplace_id);

-- name: upsert_stores
insert into core.stores (
    store_name, account_name, seller_id, region, marketplace_id, commerce_connection, commerce_store_view,
    currency_code, seller_central_host, commerce_admin_url, is_import_enabled, is_connected, connected_at,
    import_since, amazon_fulfilled_since, import_enabled_at, amazon_fulfilled_enabled_at, settings_sha256,
    amazon_connection
)
values (
    :store_name, :account_name, :seller_id, :region, :marketplace_id, :commerce_connection, :commerce_store_view,
    :currency_code, :seller_central_host, :commerce_admin_url, :is_import_enabled, true, :now,
    :now, :now, case when :is_import_enabled then :now end, case when :is_amazon_fulfilled_imported then :now end,
    :settings_sha256, :amazon_connection
)
on conflict (account_name, marketplace_id) do update
    set
        store_name = excluded.store_name,
        seller_id = excluded.seller_id,
        region = excluded.region,
        amazon_connection = excluded.amazon_connection,
        commerce_connection = excluded.commerce_connection,
        commerce_store_view = excluded.commerce_store_view,
        currency_code = excluded.currency_code,
        seller_central_host = excluded.seller_central_host,
        -- Unknown while the connection is missing or unreadable: what was known of it stays.
        commerce_admin_url = coalesce(
            excluded.commerce_admin_url,
            case when stores.commerce_connection = excluded.commerce_connection then stores.commerce_admin_url end
        ),
        is_import_enabled = excluded.is_import_enabled,
        is_connected = true,
        import_enabled_at = case
            when excluded.import_enabled_at is not null
                then coalesce(stores.import_enabled_at, excluded.import_enabled_at)
        end,
        amazon_fulfilled_enabled_at = case
            when excluded.amazon_fulfilled_enabled_at is not null
                then coalesce(stores.amazon_fulfilled_enabled_at, excluded.amazon_fulfilled_enabled_at)
        end,
        settings_sha256 = excluded.settings_sha256;

-- name: set_import_since
-- Enabling import later never creates the past, unless stores.yaml asks for it.
update core.stores
set
    import_since = coalesce(cast(:import_since as timestamptz), import_enabled_at, connected_at),
    amazon_fulfilled_since = coalesce(
        cast(:import_since as timestamptz),
        greatest(coalesce(import_enabled_at, connected_at), amazon_fulfilled_enabled_at)
    )
where account_name = :account_name and marketplace_id = :marketplace_id;

-- name: disconnect_others
update core.stores
set is_connected = false
where is_connected and not store_name = any(cast(:store_names as text[]));

-- name: orders_to_adopt
-- Orders that came before their marketplace was connected.
select
    orders.amazon_order_id,
    'new' as to_code,
    'Its marketplace is connected now; checked again in this run.' as reason
from core.orders as orders
inner join core.stores as stores
    on orders.account_name = stores.account_name and orders.marketplace_id = stores.marketplace_id
where
    orders.store_name is null
    and stores.is_connected
    and orders.pipeline_state in ('not_imported', 'waiting', 'new');

-- name: adopt_orders
-- After their move.
update core.orders as orders
set store_name = stores.store_name, dag_run_id = :dag_run_id, loaded_at = :now
from core.stores as stores
where
    orders.store_name is null
    and stores.is_connected
    and orders.account_name = stores.account_name
    and orders.marketplace_id = stores.marketplace_id
    and orders.pipeline_state = 'new';
