-- name: stores_to_check
-- Those of the stores whose writes may be stopped: neither stopped as a whole, nor approved for now.
select stores.store_name
from core.stores as stores
where
    stores.store_name = any(cast(:store_names as text[]))
    and not exists (
        select from ops.write_holds as holds
        where
            holds.store_name = stores.store_name
            and holds.kind = :kind
            and (holds.approved_at is null and holds.order_ids is null or holds.approved_until > :now)
    )
order by stores.store_name;

-- name: stores_without_norm
select stores.store_name
from core.stores as stores
left join ops.store_norms as norms on stores.store_name = norms.store_name
where
    stores.store_name = any(cast(:store_names as text[]))
    and (norms.computed_at is null or norms.computed_at <= :outdated_since)
order by stores.store_name;

-- name: compute_norms
-- The orders of the days before, once a day. Orders that wait now are no norm for themselves; one look-up by index
-- tells whether an order was ever blocked.
with sold as materialized (
    select
        orders.store_name,
        cast(orders.purchased_at at time zone 'UTC' as date) as day,
        nullif(orders.grand_total_amount, 0) as amount,
        orders.currency_code,
        orders.pipeline_state in ('created', 'completed', 'not_imported') as is_through,
        orders.pipeline_state in ('created', 'completed') or blocked.is_blocked is not null as is_checked,
        coalesce(blocked.is_blocked, false) as is_blocked
    from core.orders as orders
    left join lateral (
        select true as is_blocked
        from core.order_status_changes as changes
        where
            changes.amazon_order_id = orders.amazon_order_id
            and changes.system_code = 'pipeline'
            and changes.to_code = 'blocked'
        limit 1
    ) as blocked on true
    where
        orders.purchased_at >= :history_from
        and orders.purchased_at < :history_to
        and orders.store_name = any(cast(:store_names as text[]))
),

days as (
    select
        store_name,
        max(order_count) as busiest_day_count,
        count(*) as day_count
    from (
        select
            store_name,
            day,
            count(*) as order_count
        from sold
        where is_through
        group by store_name, day
    ) as counted
    group by store_name
),

sums as (
    select
        store_name,
        count(*) filter (where is_through) as order_count,
        percentile_disc(array[0.01, 0.5, 0.99]) within group (order by amount) filter (where is_through) as amounts,
        max(currency_code) filter (where is_through) as currency_code,
        count(*) filter (where is_checked) as checked_count,
        count(*) filter (where is_blocked) as blocked_count
    from sold
    group by store_name
),

taken_off as (
    select
        store_name,
        max(change_count) filter (where kind = 'cancellations') as busiest_cancellation_count,
        max(change_count) filter (where kind = 'refunds') as busiest_refund_count
    from (
        select
            outbox.store_name,
            case when outbox.invoiced_at is null then 'cancellations' else 'refunds' end as kind,
            count(*) as change_count
        from ops.order_change_outbox as changes
        inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
        where
            changes.kind = 'canceled_units'
            and changes.planned_at >= :history_from
            and changes.planned_at < :history_to
        group by
            outbox.store_name, outbox.invoiced_at is null, cast(changes.planned_at at time zone 'UTC' as date)
    ) as counted
    group by store_name
)

insert into ops.store_norms as norms (
    store_name, order_count, day_count, busiest_day_count, low_amount, median_amount, high_amount, currency_code,
    checked_count, blocked_count, busiest_cancellation_count, busiest_refund_count, computed_at, dag_run_id
)
select
    stores.store_name,
    coalesce(sums.order_count, 0),
    coalesce(days.day_count, 0),
    coalesce(days.busiest_day_count, 0),
    sums.amounts[1],
    sums.amounts[2],
    sums.amounts[3],
    sums.currency_code,
    coalesce(sums.checked_count, 0),
    coalesce(sums.blocked_count, 0),
    coalesce(taken_off.busiest_cancellation_count, 0),
    coalesce(taken_off.busiest_refund_count, 0),
    :now,
    :dag_run_id
from core.stores as stores
left join sums on stores.store_name = sums.store_name
left join days on stores.store_name = days.store_name
left join taken_off on stores.store_name = taken_off.store_name
where stores.store_name = any(cast(:store_names as text[]))
order by stores.store_name
on conflict (store_name) do update
    set
        order_count = excluded.order_count,
        day_count = excluded.day_count,
        busiest_day_count = excluded.busiest_day_count,
        low_amount = excluded.low_amount,
        median_amount = excluded.median_amount,
        high_amount = excluded.high_amount,
        currency_code = excluded.currency_code,
        checked_count = excluded.checked_count,
        blocked_count = excluded.blocked_count,
        busiest_cancellation_count = excluded.busiest_cancellation_count,
        busiest_refund_count = excluded.busiest_refund_count,
        computed_at = excluded.computed_at,
        dag_run_id = excluded.dag_run_id;

-- name: norms
select
    store_name,
    order_count,
    day_count,
    busiest_day_count,
    low_amount,
    median_amount,
    high_amount,
    checked_count,
    blocked_count,
    busiest_cancellation_count,
    busiest_refund_count
from ops.store_norms
where store_name = any(cast(:store_names as text[]))
order by store_name;

-- name: waiting_orders
-- Those of the orders that are about to be created; others were sent before.
select
    outbox.store_name,
    outbox.amazon_order_id,
    orders.grand_total_amount
from unnest(cast(:order_ids as text[])) as due (amazon_order_id)
inner join ops.order_outbox as outbox on due.amazon_order_id = outbox.amazon_order_id
inner join core.orders as orders on due.amazon_order_id = orders.amazon_order_id
where outbox.state = 'planned';

-- name: last_day
select
    wanted.store_name,
    (
        select count(*)
        from ops.order_outbox as outbox
        where outbox.store_name = wanted.store_name and outbox.linked_at >= :day_ago
    ) as created_count,
    (
        select count(*)
        from core.orders as orders
        where
            orders.store_name = wanted.store_name
            and orders.pipeline_state = 'blocked'
            and orders.purchased_at >= :day_ago
    ) as blocked_count
from unnest(cast(:store_names as text[])) as wanted (store_name);

-- name: gate
-- What decides about one planned order of a store: an open stop, unless the order is its trial; an approval; and how
-- the orders before it fared since the last approval. A refusal leaves its mark in updated_at; an order that waits for
-- its next attempt is counted once.
select
    open_holds.reason,
    coalesce(open_holds.is_trial, false) as is_trial,
    coalesce(approvals.approved_until > :now, false) as is_approved,
    refused.refused_count,
    refused.last_refusal,
    recent.recent_count,
    recent.differing_count
from (
    select
        max(holds.approved_at) as approved_at,
        max(holds.approved_until) as approved_until
    from ops.write_holds as holds
    where holds.store_name = :store_name and holds.kind = 'orders'
) as approvals
left join lateral (
    select
        holds.reason,
        not exists (
            select from ops.held_orders as held
            where held.write_hold_id = holds.write_hold_id and held.amazon_order_id = :order_id
        ) as is_trial
    from ops.write_holds as holds
    where
        holds.store_name = :store_name
        and holds.kind = 'orders'
        and holds.approved_at is null
        and (holds.order_ids is null or :order_id = any(holds.order_ids))
) as open_holds on true
left join lateral (
    select max(linked.linked_at) as linked_at
    from ops.order_outbox as linked
    where linked.store_name = :store_name and linked.linked_at is not null
) as success on true
left join lateral (
    select
        count(*) as refused_count,
        (array_agg(rejected.last_error order by rejected.updated_at desc))[1] as last_refusal
    from ops.order_outbox as rejected
    where
        rejected.state = 'rejected'
        and rejected.store_name = :store_name
        and rejected.refusals > 0
        and rejected.updated_at > coalesce(greatest(success.linked_at, approvals.approved_at), '-infinity')
) as refused on true
left join lateral (
    select
        count(*) as recent_count,
        count(*) filter (where last_orders.has_other_total) as differing_count
    from (
        select created.has_other_total
        from ops.order_outbox as created
        where
            created.store_name = :store_name
            and created.linked_at > coalesce(approvals.approved_at, '-infinity')
            and created.state = 'created'
        order by created.linked_at desc
        limit :recent_orders
    ) as last_orders
) as recent on true;

-- name: last_day_changes
-- Cancellations and refunds of the stores that became due in 24 hours, done or not.
select
    outbox.store_name,
    count(*) as change_count
from ops.order_change_outbox as changes
inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
where
    changes.kind = 'canceled_units'
    and changes.planned_at >= :day_ago
    and outbox.store_name = any(cast(:store_names as text[]))
    and (outbox.invoiced_at is null) = (:kind = 'cancellations')
group by outbox.store_name
order by outbox.store_name;

-- name: open_hold
-- The first reason stays, unless it concerned single orders only: then it is extended by others, or to all.
insert into ops.write_holds as holds (
    store_name, account_name, kind, reason_code, reason, seen_value, limit_value, order_ids, opened_at, dag_run_id
)
select
    stores.store_name,
    stores.account_name,
    :kind,
    :reason_code,
    :reason,
    :seen_value,
    :limit_value,
    cast(:order_ids as text[]),
    :now,
    :dag_run_id
from core.stores as stores
where
    stores.store_name = :store_name
    and not exists (
        select from ops.write_holds as approved
        where approved.store_name = stores.store_name and approved.kind = :kind and approved.approved_until > :now
    )
on conflict (store_name, kind) where approved_at is null do update
    set
        reason_code = excluded.reason_code,
        reason = excluded.reason,
        seen_value = excluded.seen_value,
        limit_value = excluded.limit_value,
        order_ids = case
            when excluded.order_ids is not null
                then array(
                    select distinct listed.order_id
                    from unnest(holds.order_ids || excluded.order_ids) as listed (order_id)
                    order by listed.order_id
                )
        end,
        opened_at = case when excluded.order_ids is null then excluded.opened_at else holds.opened_at end,
        dag_run_id = excluded.dag_run_id
    where
    holds.order_ids is not null
    and (excluded.order_ids is null or not holds.order_ids @> excluded.order_ids);

-- name: stop_of_order
select reason
from ops.write_holds
where
    store_name = :store_name
    and kind = 'orders'
    and approved_at is null
    and (order_ids is null or :order_id = any(order_ids));

-- name: change_hold
select reason
from ops.write_holds
where store_name = :store_name and kind = :kind and approved_at is null;

-- name: stopped
-- Stores of the account of which something waits that is stopped; single orders that are stopped do not count.
select
    holds.store_name,
    holds.kind,
    holds.reason
from ops.write_holds as holds
where
    holds.account_name = :account_name
    and holds.approved_at is null
    and holds.order_ids is null
    and exists (
        select from ops.held_orders as held
        where held.write_hold_id = holds.write_hold_id
    )
order by holds.store_name, holds.kind;

-- name: accounts_with_stops
select distinct holds.account_name
from ops.write_holds as holds
where
    holds.approved_at is null
    and holds.order_ids is null
    and exists (
        select from ops.held_orders as held
        where held.write_hold_id = holds.write_hold_id
    )
order by holds.account_name;
