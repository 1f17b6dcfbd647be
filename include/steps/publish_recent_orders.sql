-- name: known_rules
select rules_sha256
from ops.published_rules;

-- name: forget_rules
delete from ops.published_rules;

-- name: remember_rules
insert into ops.published_rules (rules_sha256, queued_at)
values (:rules_sha256, :now);

-- name: queue_all_orders
-- The newest purchases last: the queue is worked on from its end.
insert into ops.orders_to_publish (amazon_order_id)
select amazon_order_id
from core.orders
order by purchased_at, amazon_order_id;

-- name: first_of_batch
select min(queue_id) as queue_id, count(*) as entry_count
from (
    select queue_id
    from ops.orders_to_publish
    order by queue_id desc
    limit :batch_size
) as newest;

-- name: claim
-- Before the facts are read: each entry was committed with its change, so the later statement sees that change. What
-- changes from here on appends an entry of its own, which the next batch or run finds.
delete from ops.orders_to_publish
where queue_id >= :queue_id and not amazon_order_id = any(cast(:failed_ids as text[]))
returning amazon_order_id;

-- name: put_back
insert into ops.orders_to_publish (amazon_order_id)
select unnest(cast(:order_ids as text[]));

-- name: publish
-- Writes the rows of the given orders that changed. Returns how many rows were written by shown status.
with facts as (
    select
        orders.*,
        outbox.commerce_order_id,
        outbox.commerce_order_number,
        outbox.last_error,
        outbox.needs_attention_at,
        stores.seller_central_host,
        stores.commerce_admin_url,
        coalesce(shown.status, orders.amazon_status) as status_on_amazon,
        coalesce(blockers.blocker_codes, cast('{}' as text[])) as blocker_codes,
        blockers.sentences,
        blockers.warnings,
        coalesce(blockers.has_ended, false) as has_ended_in_commerce,
        packages.accepted_count,
        packages.waiting_count,
        packages.refusal,
        packages.skipped,
        untracked.commerce_shipment_id as untracked_shipment_id,
        changes.change_note,
        coalesce(changes.has_hold, false) as has_hold,
        asked.note as cancellation_note,
        case stops.kind when 'orders' then stops.reason end as stop_reason,
        coalesce(unreadable.is_unreadable, false) as is_unreadable,
        orders.amazon_status = any(cast(:canceled_statuses as text[])) as is_canceled,
        orders.pipeline_state = any(cast(:blocked_states as text[])) as is_held,
        unfinished.is_unfinished,
        -- One failed call is no error yet: a refusal is one, and the end of the automatic attempts.
        unfinished.is_unfinished
        and (
            outbox.needs_attention_at is not null or outbox.last_error_code <> 'unavailable'
        ) as is_unfinished_error
    from unnest(cast(:order_ids as text[])) as claimed (amazon_order_id)
    inner join core.orders as orders on claimed.amazon_order_id = orders.amazon_order_id
    left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
    left join core.stores as stores on orders.store_name = stores.store_name
    left join unnest(cast(:amazon_statuses as text[]), cast(:shown_statuses as text[])) as shown (code, status)
        on orders.amazon_status = shown.code
    left join lateral (
        select
            array_agg(distinct episodes.blocker_code order by episodes.blocker_code)
            filter (where episodes.severity = 'critical') as blocker_codes,
            string_agg(distinct episodes.message || ' ' || episodes.remedy, ' ')
            filter (where episodes.severity = 'critical') as sentences,
            string_agg(episodes.message || ' ' || episodes.remedy, ' ' order by episodes.opened_at)
            filter (where episodes.severity = 'warning') as warnings,
            bool_or(episodes.blocker_code = 'ended_in_commerce') as has_ended
        from ops.blocker_episodes as episodes
        where episodes.amazon_order_id = orders.amazon_order_id and episodes.closed_at is null
    ) as blockers on true
    left join lateral (
        select
            count(*) filter (where sent.state = 'accepted') as accepted_count,
            count(*) filter (where sent.state in ('planned', 'sent', 'in_doubt')) as waiting_count,
            (
                array_agg(sent.last_error order by cast(sent.package_reference_id as bigint))
                filter (where sent.state = 'rejected')
            )[1] as refusal,
            (
                array_agg(sent.last_error order by cast(sent.package_reference_id as bigint))
                filter (where sent.state = 'skipped')
            )[1] as skipped
        from ops.shipment_outbox as sent
        where sent.amazon_order_id = orders.amazon_order_id
    ) as packages on true
    left join lateral (
        select
            holds.kind,
            case holds.kind
                when 'orders' then 'Not created yet: the orders of the store are stopped.'
                else
                    'Canceled on Amazon, but not taken off the Commerce order yet: the ' || holds.kind
                    || ' of the store are stopped.'
            end
            || ' ' || left(holds.reason, 240) || ' Approve or decline with the DAG approve_held_writes.' as reason
        from ops.held_orders as held
        inner join ops.write_holds as holds on held.write_hold_id = holds.write_hold_id
        where held.amazon_order_id = orders.amazon_order_id
        limit 1
    ) as stops on true
    left join lateral (
        select
            string_agg(
                case
                    when changes.note is not null then changes.note
                    when changes.done_at is null and changes.kind = 'canceled_units'
                        then
                            coalesce(stops.reason, 'Canceled on Amazon; the next run carries it out in Commerce.')
                end,
                ' ' order by changes.planned_at
            ) filter (where changes.kind <> 'hold' or changes.over_at is null) as change_note,
            bool_or(changes.kind = 'hold' and changes.over_at is null) as has_hold
        from ops.order_change_outbox as changes
        where changes.amazon_order_id = orders.amazon_order_id
    ) as changes on true
    left join lateral (
        select cancellations.note
        from ops.cancellation_outbox as cancellations
        where
            cancellations.amazon_order_id = orders.amazon_order_id
            and orders.pipeline_state <> 'completed' -- what became of it is not worth mentioning any more
        order by cancellations.requested_at desc
        limit 1
    ) as asked on true
    left join lateral (
        select min(shipments.commerce_shipment_id) as commerce_shipment_id
        from core.shipments as shipments
        where
            shipments.amazon_order_id = orders.amazon_order_id
            and not exists (
                select from core.shipment_tracks as tracks
                where
                    tracks.commerce_connection = shipments.commerce_connection
                    and tracks.commerce_shipment_id = shipments.commerce_shipment_id
            )
    ) as untracked on true
    left join lateral (
        select bool_or(quarantined.released_at is null) as is_unreadable
        from ops.quarantined_orders as quarantined
        where quarantined.amazon_order_id = orders.amazon_order_id
    ) as unreadable on true
    left join lateral (
        select
            outbox.commerce_order_id is not null
            and outbox.finished_at is null
            and (
                outbox.needs_attention_at is not null or outbox.last_error is not null
            ) as is_unfinished
    ) as unfinished on true
),

written as (
    insert into reporting.recent_orders as recent_orders (
        store_name, purchased_at, amazon_order_id, status, grand_total_amount, currency_code, order_notes, order_url,
        commerce_order_number, fulfilled_by, ship_by_at, is_blocked, blocker_codes, last_updated_at, pipeline_state,
        is_importable, loaded_at, dag_run_id
    )
    select
        coalesce(store_name, account_name),
        purchased_at,
        amazon_order_id,
        case
            when is_canceled then :canceled
            when is_held or is_unfinished_error then :error
            when pipeline_state = 'completed' then :completed
            else status_on_amazon
        end,
        grand_total_amount,
        currency_code,
        left(rtrim(concat_ws(' ', cancellation_note, warnings, case when not is_canceled then change_note end, coalesce(
            case
                when is_unreadable
                    then
                        'Amazon sent a newer version that cannot be read; this row shows the one before. '
                        || 'Check the order in Seller Central.'
                when is_canceled and change_note is not null then change_note
                when is_canceled and commerce_order_number is not null
                    then
                        'Amazon canceled the order after Commerce order ' || commerce_order_number
                        || ' was created; cancel or refund it in Commerce.'
                when is_canceled then coalesce(state_reason, 'Amazon canceled the order.')
                when is_held then coalesce(sentences, state_reason, last_error)
                when stop_reason is not null then stop_reason
                when is_unfinished and needs_attention_at is not null then coalesce(state_reason, last_error)
                when is_unfinished then rtrim(last_error, '. ') || '. It will be retried automatically.'
                when refusal is not null then refusal
                when pipeline_state = 'completed' then 'Shipped; Commerce order ' || commerce_order_number || '.'
                when is_buyer_cancel_requested and not has_hold
                    then
                        'The buyer asked to cancel. Decide in Seller Central before you ship. '
                        || coalesce(state_reason, '')
                when untracked_shipment_id is not null
                    then
                        'Shipment ' || untracked_shipment_id || ' has no tracking number; '
                        || 'add one in Commerce so that the shipment can be confirmed to Amazon.'
                when waiting_count > 0
                    then
                        'Shipped in Commerce (order ' || commerce_order_number || '); waiting for Amazon to confirm '
                        || waiting_count || case when waiting_count = 1 then ' package.' else ' packages.' end
                when accepted_count > 0
                    then
                        'Amazon has confirmed ' || accepted_count
                        || case when accepted_count = 1 then ' package' else ' packages' end
                        || ' of Commerce order ' || commerce_order_number || '.' || coalesce(' ' || skipped, '')
                when skipped is not null then skipped
                when has_ended_in_commerce then '' -- that it was created is not worth mentioning any more
            end,
            state_reason,
            'Not checked yet.'
        ))), 500),
        case
            when commerce_order_id is not null and commerce_admin_url is not null
                then commerce_admin_url || '/sales/order/view/order_id/' || commerce_order_id
            else
                'https://'
                || coalesce(seller_central_host, 'sellercentral.amazon.com')
                || '/orders-v3/order/'
                || amazon_order_id
        end,
        commerce_order_number,
        fulfilled_by,
        ship_by_at,
        not is_canceled and (is_held or is_unfinished_error),
        case when is_canceled then cast('{}' as text[]) else blocker_codes end,
        amazon_last_updated_at,
        pipeline_state,
        commerce_order_id is not null or not (is_canceled or pipeline_state in ('not_imported', 'canceled')),
        :now,
        :dag_run_id
    from facts
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
            pipeline_state = excluded.pipeline_state,
            is_importable = excluded.is_importable,
            loaded_at = excluded.loaded_at,
            dag_run_id = excluded.dag_run_id
        where
        (
            recent_orders.store_name, recent_orders.purchased_at, recent_orders.status,
            recent_orders.grand_total_amount, recent_orders.currency_code, recent_orders.order_notes,
            recent_orders.order_url, recent_orders.commerce_order_number, recent_orders.fulfilled_by,
            recent_orders.ship_by_at, recent_orders.is_blocked, recent_orders.blocker_codes,
            recent_orders.last_updated_at, recent_orders.pipeline_state, recent_orders.is_importable
        ) is distinct from (
            excluded.store_name, excluded.purchased_at, excluded.status,
            excluded.grand_total_amount, excluded.currency_code, excluded.order_notes,
            excluded.order_url, excluded.commerce_order_number, excluded.fulfilled_by,
            excluded.ship_by_at, excluded.is_blocked, excluded.blocker_codes,
            excluded.last_updated_at, excluded.pipeline_state, excluded.is_importable
        )
    returning status
)

select status, count(*) as row_count
from written
group by status;
