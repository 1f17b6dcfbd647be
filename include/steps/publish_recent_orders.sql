-- name: collect_rows
create temporary table rows_now on commit drop as
with blockers as (
    select
        amazon_order_id,
        array_agg(distinct blocker_code order by blocker_code) as blocker_codes,
        string_agg(distinct message || ' ' || remedy, ' ') as sentences
    from ops.blocker_episodes
    where closed_at is null and severity = 'critical'
    group by amazon_order_id
),

packages as (
    select
        amazon_order_id,
        count(*) filter (where state = 'accepted') as accepted_count,
        count(*) filter (where state in ('planned', 'sent', 'in_doubt')) as waiting_count,
        (array_agg(last_error order by cast(package_reference_id as bigint)) filter (where state = 'rejected'))[1]
            as refusal,
        (array_agg(last_error order by cast(package_reference_id as bigint)) filter (where state = 'skipped'))[1]
            as skipped
    from ops.shipment_outbox
    group by amazon_order_id
),

unreadable as (
    select distinct amazon_order_id
    from ops.quarantined_orders
    where released_at is null and amazon_order_id is not null
),

untracked as (
    select shipments.amazon_order_id, min(shipments.commerce_shipment_id) as commerce_shipment_id
    from core.shipments as shipments
    where
        not exists (
            select from core.shipment_tracks as tracks
            where
                tracks.commerce_connection = shipments.commerce_connection
                and tracks.commerce_shipment_id = shipments.commerce_shipment_id
        )
    group by shipments.amazon_order_id
),

facts as (
    select
        orders.*,
        outbox.commerce_order_id,
        outbox.commerce_order_number,
        outbox.state as outbox_state,
        outbox.finished_at,
        outbox.last_error,
        stores.seller_central_host,
        stores.commerce_admin_url,
        coalesce(blockers.blocker_codes, cast('{}' as text[])) as blocker_codes,
        blockers.sentences,
        coalesce(packages.accepted_count, 0) as accepted_count,
        coalesce(packages.waiting_count, 0) as waiting_count,
        packages.refusal,
        packages.skipped,
        untracked.commerce_shipment_id as untracked_shipment_id,
        unreadable.amazon_order_id is not null as is_unreadable,
        orders.amazon_status in ('CANCELLED', 'UNFULFILLABLE') as is_canceled,
        orders.pipeline_state in ('blocked', 'rejected') as is_held,
        outbox.commerce_order_id is not null
        and outbox.finished_at is null
        and outbox.last_error is not null
        and outbox.last_error_code <> 'total_differs' as is_unfinished
    from core.orders as orders
    left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
    left join core.stores as stores on orders.store_name = stores.store_name
    left join blockers on orders.amazon_order_id = blockers.amazon_order_id
    left join packages on orders.amazon_order_id = packages.amazon_order_id
    left join untracked on orders.amazon_order_id = untracked.amazon_order_id
    left join unreadable on orders.amazon_order_id = unreadable.amazon_order_id
)

select
    coalesce(store_name, account_name) as store_name,
    purchased_at,
    amazon_order_id,
    case
        when is_canceled then 'Canceled'
        when is_held or is_unfinished then 'Error'
        when pipeline_state = 'completed' then 'Completed'
        when amazon_status = 'SHIPPED' then 'Shipped'
        when amazon_status = 'PARTIALLY_SHIPPED' then 'Partially Shipped'
        when amazon_status = 'UNSHIPPED' then 'Unshipped'
        when amazon_status = 'PENDING' then 'Pending'
        when amazon_status = 'PENDING_AVAILABILITY' then 'Pending Availability'
        else amazon_status
    end as status,
    grand_total_amount,
    currency_code,
    left(
        case
            when is_unreadable
                then
                    'Amazon sent a newer version that cannot be read; this row shows the one before. '
                    || 'Check the order in Seller Central.'
            when is_canceled and commerce_order_number is not null
                then
                    'Amazon canceled the order after Commerce order ' || commerce_order_number
                    || ' was created; cancel or refund it in Commerce.'
            when is_canceled then coalesce(state_reason, 'Amazon canceled the order.')
            when pipeline_state = 'blocked' then coalesce(sentences, state_reason)
            when pipeline_state = 'rejected' then coalesce(sentences, state_reason)
            when is_unfinished then last_error || ' It is tried again by itself.'
            when refusal is not null then refusal
            when pipeline_state = 'completed' then 'Shipped; Commerce order ' || commerce_order_number || '.'
            when is_buyer_cancel_requested
                then
                    'The buyer asks to cancel. Decide in Seller Central before you ship. ' || coalesce(state_reason, '')
            when untracked_shipment_id is not null
                then
                    'Shipment ' || untracked_shipment_id
                    || ' has no tracking number; add one in Commerce so that Amazon can be told.'
            when waiting_count > 0
                then
                    'Shipped in Commerce (order ' || commerce_order_number || '); waiting for Amazon to confirm '
                    || waiting_count || case when waiting_count = 1 then ' package.' else ' packages.' end
            when accepted_count > 0
                then
                    'Amazon has ' || accepted_count || case when accepted_count = 1 then ' package' else ' packages' end
                    || ' of Commerce order ' || commerce_order_number || '.' || coalesce(' ' || skipped, '')
            when skipped is not null then skipped
            else coalesce(state_reason, 'Not judged yet.')
        end,
        500
    ) as order_notes,
    case
        when commerce_order_id is not null and commerce_admin_url is not null
            then commerce_admin_url || '/sales/order/view/order_id/' || commerce_order_id
        else
            'https://'
            || coalesce(seller_central_host, 'sellercentral.amazon.com')
            || '/orders-v3/order/'
            || amazon_order_id
    end as order_url,
    commerce_order_number,
    fulfilled_by,
    ship_by_at,
    not is_canceled and (is_held or is_unfinished) as is_blocked,
    case when is_canceled then cast('{}' as text[]) else blocker_codes end as blocker_codes,
    amazon_last_updated_at as last_updated_at
from facts;

-- name: publish
insert into reporting.recent_orders as recent_orders (
    store_name, purchased_at, amazon_order_id, status, grand_total_amount, currency_code, order_notes, order_url,
    commerce_order_number, fulfilled_by, ship_by_at, is_blocked, blocker_codes, last_updated_at, loaded_at, dag_run_id
)
select
    store_name, purchased_at, amazon_order_id, status, grand_total_amount, currency_code, order_notes, order_url,
    commerce_order_number, fulfilled_by, ship_by_at, is_blocked, blocker_codes, last_updated_at, :now, :dag_run_id
from rows_now
order by amazon_order_id
on conflict (amazon_order_id) do update
    set
        store_name = excluded.store_name,
        purchased_at = excluded.purchased_at,
        status = excluded.status,
        grand_total_amount = excluded.grand_total_amount,
        currency_code = excluded.currency_code,
        order_notes = excluded.order_notes,
        order_url = excluded.order_url,
        commerce_order_number = excluded.commerce_order_number,
        fulfilled_by = excluded.fulfilled_by,
        ship_by_at = excluded.ship_by_at,
        is_blocked = excluded.is_blocked,
        blocker_codes = excluded.blocker_codes,
        last_updated_at = excluded.last_updated_at,
        loaded_at = excluded.loaded_at,
        dag_run_id = excluded.dag_run_id
    where
    (
        recent_orders.store_name, recent_orders.purchased_at, recent_orders.status,
        recent_orders.grand_total_amount, recent_orders.currency_code, recent_orders.order_notes,
        recent_orders.order_url, recent_orders.commerce_order_number, recent_orders.fulfilled_by,
        recent_orders.ship_by_at, recent_orders.is_blocked, recent_orders.blocker_codes,
        recent_orders.last_updated_at
    ) is distinct from (
        excluded.store_name, excluded.purchased_at, excluded.status,
        excluded.grand_total_amount, excluded.currency_code, excluded.order_notes,
        excluded.order_url, excluded.commerce_order_number, excluded.fulfilled_by,
        excluded.ship_by_at, excluded.is_blocked, excluded.blocker_codes,
        excluded.last_updated_at
    );

-- name: unknown_statuses
select status, count(*) as order_count
from rows_now
where
    status not in (
        'Canceled', 'Error', 'Completed', 'Shipped', 'Partially Shipped', 'Unshipped', 'Pending', 'Pending Availability'
    )
group by status;
