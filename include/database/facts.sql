-- What each row of the facts is made from, for the given orders. include/database/facts.py makes the insert of it: the
-- names are the columns of the tables.
--
-- The orders come from ops.orders_to_publish. core.order_items and core.order_status_changes have no trigger of their
-- own there: whatever is read of them here changes in the transaction that changes core.orders.

-- name: fct_orders
-- After reporting.recent_orders, whose shown status and flags it repeats.
select
    orders.amazon_order_id,
    shown.store_name,
    orders.account_name,
    orders.marketplace_id,
    zones.time_zone,
    orders.purchased_at,
    cast(orders.purchased_at at time zone zones.time_zone as date) as purchased_on,
    orders.amazon_last_updated_at as last_updated_at,
    orders.amazon_status,
    shown.status,
    orders.pipeline_state,
    orders.fulfilled_by,
    orders.service_level,
    orders.programs,
    orders.replaced_amazon_order_id is not null as is_replacement,
    shown.is_importable,
    shown.is_blocked,
    orders.amazon_status = any(cast(:canceled_statuses as text[])) as is_canceled,
    orders.is_buyer_cancel_requested,
    lines.canceled_by,
    orders.ship_by_at,
    cast(orders.ship_by_at at time zone zones.time_zone as date) as ship_by_on,
    orders.deliver_by_at,
    orders.first_seen_at as landed_at,
    changes.released_at,
    created.created_in_commerce_at,
    cast(created.created_in_commerce_at at time zone zones.time_zone as date) as created_in_commerce_on,
    changes.shipped_at,
    changes.canceled_at,
    orders.item_count,
    orders.ordered_qty,
    coalesce(lines.canceled_qty, 0) as canceled_qty,
    orders.fulfilled_qty,
    coalesce(orders.currency_code, marketplaces.currency_code) as currency_code,
    lines.item_amount,
    lines.discount_amount,
    lines.shipping_amount,
    lines.gift_wrap_amount,
    lines.other_amount,
    lines.tax_amount,
    orders.grand_total_amount,
    created.commerce_order_number,
    blockers.open_blocker_count,
    orders.payload_sha256
from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
inner join reporting.recent_orders as shown on claimed.amazon_order_id = shown.amazon_order_id
left join reporting.dim_marketplaces as marketplaces on orders.marketplace_id = marketplaces.marketplace_id
cross join lateral (select coalesce(marketplaces.time_zone, 'UTC') as time_zone) as zones
left join lateral (
    select
        outbox.commerce_order_number,
        case when outbox.commerce_order_id is not null then outbox.linked_at end as created_in_commerce_at
    from ops.order_outbox as outbox
    where outbox.amazon_order_id = orders.amazon_order_id
) as created on true
left join lateral (
    select
        sum(items.canceled_qty) as canceled_qty,
        case
            when count(distinct items.canceled_by) filter (where items.canceled_qty > 0) > 1 then 'several'
            else min(items.canceled_by) filter (where items.canceled_qty > 0)
        end as canceled_by,
        -- Of the lines of which something is left. Where Amazon gives the goods, what it does not mention is zero.
        sum(items.item_amount) filter (where items.is_kept) as item_amount,
        sum(coalesce(items.discount_amount, items.none)) filter (where items.is_kept) as discount_amount,
        sum(coalesce(items.shipping_amount, items.none)) filter (where items.is_kept) as shipping_amount,
        sum(coalesce(items.gift_wrap_amount, items.none)) filter (where items.is_kept) as gift_wrap_amount,
        sum(coalesce(items.other_amount, items.none)) filter (where items.is_kept) as other_amount,
        sum(coalesce(items.tax_amount, items.none)) filter (where items.is_kept) as tax_amount
    from (
        select
            sold.*,
            sold.ordered_qty > sold.canceled_qty as is_kept,
            case when sold.item_amount is not null then 0 end as none
        from core.order_items as sold
        where sold.amazon_order_id = orders.amazon_order_id
    ) as items
) as lines on true
left join lateral (
    select
        min(history.changed_at) filter (where history.to_code = any(cast(:released_statuses as text[])))
            as released_at,
        min(history.changed_at) filter (where history.to_code = :shipped_status) as shipped_at,
        min(history.changed_at) filter (where history.to_code = any(cast(:canceled_statuses as text[])))
            as canceled_at
    from core.order_status_changes as history
    where history.amazon_order_id = orders.amazon_order_id and history.system_code = 'amazon'
) as changes on true
left join lateral (
    select count(*) as open_blocker_count
    from ops.blocker_episodes as episodes
    where
        episodes.amazon_order_id = orders.amazon_order_id
        and episodes.closed_at is null
        and episodes.severity = 'critical'
) as blockers on true;

-- name: fct_order_items
select
    orders.amazon_order_id,
    items.amazon_item_id,
    coalesce(orders.store_name, orders.account_name) as store_name,
    orders.marketplace_id,
    orders.purchased_at,
    cast(orders.purchased_at at time zone coalesce(marketplaces.time_zone, 'UTC') as date) as purchased_on,
    orders.fulfilled_by,
    orders.amazon_status = any(cast(:canceled_statuses as text[])) as is_order_canceled,
    items.line_number,
    items.seller_sku,
    items.asin,
    items.title,
    items.ordered_qty,
    items.canceled_qty,
    items.fulfilled_qty,
    case when items.canceled_qty > 0 then items.canceled_by end as canceled_by,
    items.is_buyer_cancel_requested,
    coalesce(items.currency_code, orders.currency_code, marketplaces.currency_code) as currency_code,
    items.unit_price_amount,
    items.item_amount,
    coalesce(items.discount_amount, items.none) as discount_amount,
    coalesce(items.shipping_amount, items.none) as shipping_amount,
    coalesce(items.gift_wrap_amount, items.none) as gift_wrap_amount,
    coalesce(items.other_amount, items.none) as other_amount,
    coalesce(items.tax_amount, items.none) as tax_amount,
    items.line_total_amount
from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
cross join
    lateral (
        select
            sold.*,
            case when sold.item_amount is not null then 0 end as none
        from core.order_items as sold
        where sold.amazon_order_id = orders.amazon_order_id
    ) as items
left join reporting.dim_marketplaces as marketplaces on orders.marketplace_id = marketplaces.marketplace_id;

-- name: fct_order_status_changes
select
    changes.amazon_order_id,
    changes.system_code,
    changes.changed_at,
    changes.to_code,
    changes.from_code,
    cast(changes.changed_at at time zone coalesce(marketplaces.time_zone, 'UTC') as date) as changed_on,
    coalesce(orders.store_name, orders.account_name) as store_name,
    case
        when not changes.system_code || ' ' || changes.to_code = any(cast(:known_codes as text[])) then null
        when changes.from_code is null then true
        when not changes.system_code || ' ' || changes.from_code = any(cast(:known_codes as text[])) then null
        else
            changes.system_code || ' ' || changes.from_code || ' ' || changes.to_code
            = any(cast(:allowed_changes as text[]))
    end as is_allowed,
    changes.reason,
    changes.detected_at,
    changes.dag_run_id as detected_dag_run_id
from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
inner join core.order_status_changes as changes on claimed.amazon_order_id = changes.amazon_order_id
left join reporting.dim_marketplaces as marketplaces on orders.marketplace_id = marketplaces.marketplace_id;

-- name: fct_order_blockers
select
    episodes.blocker_episode_id,
    orders.amazon_order_id,
    nullif(episodes.amazon_item_id, '') as amazon_item_id,
    coalesce(orders.store_name, orders.account_name) as store_name,
    orders.marketplace_id,
    zones.time_zone,
    episodes.blocker_code,
    episodes.severity,
    episodes.seller_sku,
    episodes.catalog_sku,
    orders.amazon_status = any(cast(:canceled_statuses as text[])) as is_order_canceled,
    coalesce(
        episodes.requested_qty,
        case
            when episodes.amazon_item_id = '' then orders.ordered_qty
            else (
                select items.ordered_qty - items.canceled_qty
                from core.order_items as items
                where
                    items.amazon_order_id = episodes.amazon_order_id
                    and items.amazon_item_id = episodes.amazon_item_id
            )
        end,
        0
    ) as affected_qty,
    episodes.available_qty,
    episodes.affected_amount,
    coalesce(episodes.currency_code, orders.currency_code, marketplaces.currency_code) as currency_code,
    orders.ship_by_at,
    episodes.opened_at,
    cast(episodes.opened_at at time zone zones.time_zone as date) as opened_on,
    episodes.closed_at,
    case
        when episodes.closed_at is not null
            then cast(greatest(episodes.opened_at, episodes.closed_at) at time zone zones.time_zone as date)
    end as closed_on,
    episodes.closed_by_code
from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
inner join ops.blocker_episodes as episodes on claimed.amazon_order_id = episodes.amazon_order_id
left join reporting.dim_marketplaces as marketplaces on orders.marketplace_id = marketplaces.marketplace_id
cross join lateral (select coalesce(marketplaces.time_zone, 'UTC') as time_zone) as zones;

-- name: fct_shipments
select
    orders.amazon_order_id,
    packages.package_reference_id,
    coalesce(orders.store_name, orders.account_name) as store_name,
    orders.marketplace_id,
    packages.commerce_shipment_id,
    packages.state,
    packages.carrier_code,
    packages.tracking_number <> '' as has_tracking,
    coalesce(
        (
            select sum(cast(item ->> 'qty' as numeric))
            from jsonb_array_elements(packages.items) as item
        ),
        0
    ) as shipped_qty,
    packages.shipped_at,
    cast(packages.shipped_at at time zone coalesce(marketplaces.time_zone, 'UTC') as date) as shipped_on,
    orders.ship_by_at,
    packages.sent_at as confirmed_at,
    packages.accepted_at,
    packages.sent_at > orders.ship_by_at as is_late
from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
inner join ops.shipment_outbox as packages on claimed.amazon_order_id = packages.amazon_order_id
left join reporting.dim_marketplaces as marketplaces on orders.marketplace_id = marketplaces.marketplace_id;

-- name: dim_stores
select
    store_name,
    account_name,
    marketplace_id,
    currency_code,
    commerce_connection,
    commerce_store_view,
    is_import_enabled,
    is_connected,
    connected_at,
    import_since,
    cast(:at_risk_hours as numeric) as at_risk_hours
from core.stores;

-- name: dim_marketplaces
select *
from
    unnest(
        cast(:marketplace_ids as text[]),
        cast(:country_codes as text[]),
        cast(:regions as text[]),
        cast(:currency_codes as text[]),
        cast(:time_zones as text[]),
        cast(:prices_include_tax as boolean[])
    ) as known (marketplace_id, country_code, region, currency_code, time_zone, has_prices_with_tax);

-- name: dim_blocker_codes
select *
from
    unnest(
        cast(:blocker_codes as text[]), cast(:severities as text[]), cast(:titles as text[]), cast(:remedies as text[])
    ) as known (blocker_code, severity, title, remedy);
