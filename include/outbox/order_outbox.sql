-- name: due_orders
-- New orders first, then those that failed before: what cannot be done must not stand before what can.
select
    open_rows.amazon_order_id,
    open_rows.commerce_connection as system,
    coalesce(orders.store_name, orders.account_name) as store_name
from ops.open_order_outbox as open_rows
inner join core.orders as orders on open_rows.amazon_order_id = orders.amazon_order_id
where
    open_rows.account_name = :account_name
    and coalesce(open_rows.next_attempt_at, :now) <= :now
    and not exists (
        select from ops.held_orders as held
        where held.amazon_order_id = open_rows.amazon_order_id and held.kind = 'orders'
    )
order by
    open_rows.failures, open_rows.commerce_order_id is not null, orders.purchased_at, open_rows.amazon_order_id;

-- name: accounts_with_work
select distinct open_rows.account_name
from ops.open_order_outbox as open_rows
where
    coalesce(open_rows.next_attempt_at, :now) <= :now
    and not exists (
        select from ops.held_orders as held
        where held.amazon_order_id = open_rows.amazon_order_id and held.kind = 'orders'
    )
order by open_rows.account_name;

-- name: plan_orders
-- A row that was planned before keeps its distance and its failures; one that was refused or withdrawn starts anew.
insert into ops.order_outbox as outbox (
    amazon_order_id, account_name, store_name, commerce_connection, commerce_store_view, increment_id, state,
    planned_at, dag_run_id, updated_at
)
select
    amazon_order_id, account_name, store_name, commerce_connection, commerce_store_view, increment_id, 'planned', :now,
    :dag_run_id, :now
from
    unnest(
        cast(:amazon_order_id as text[]),
        cast(:account_name as text[]),
        cast(:store_name as text[]),
        cast(:commerce_connection as text[]),
        cast(:commerce_store_view as text[]),
        cast(:increment_id as text[])
    ) as planned (amazon_order_id, account_name, store_name, commerce_connection, commerce_store_view, increment_id)
order by amazon_order_id
on conflict (amazon_order_id) do update
    set
        store_name = excluded.store_name,
        commerce_connection = excluded.commerce_connection,
        commerce_store_view = excluded.commerce_store_view,
        increment_id = excluded.increment_id,
        state = 'planned',
        next_attempt_at = case when outbox.state = 'planned' then outbox.next_attempt_at end,
        failures = case when outbox.state = 'planned' then outbox.failures else 0 end,
        -- Refusals are counted until Amazon changes the order.
        refusals = case
            when outbox.amazon_order_id = any(cast(:refused_before as text[])) then outbox.refusals
            else 0
        end,
        dag_run_id = excluded.dag_run_id,
        updated_at = excluded.updated_at
    where outbox.state in ('planned', 'rejected', 'canceled');

-- name: withdraw_orders
-- A row that was not sent yet is taken back; whatever was or may have been sent stays.
update ops.order_outbox
set state = 'canceled', dag_run_id = :dag_run_id, updated_at = :now
where amazon_order_id = any(cast(:order_ids as text[])) and state in ('planned', 'rejected');

-- name: sent_meanwhile
select amazon_order_id
from ops.order_outbox
where
    amazon_order_id = any(cast(:order_ids as text[]))
    and state in ('sent', 'in_doubt', 'created', 'adopted')
for update;

-- name: watch_shipments
-- From now on the order's shipments are read (extract_commerce_shipments), unless Amazon ships it.
insert into ops.shipment_sweep (amazon_order_id, swept_at)
select
    amazon_order_id,
    :now
from core.orders
where amazon_order_id = :order_id and fulfilled_by = 'MERCHANT'
on conflict do nothing;

-- name: release_stock_of_amazon
-- What Amazon ships never left the merchant's stock.
update ops.order_outbox as outbox
set stock_released_at = :now
from core.orders as orders
where
    outbox.amazon_order_id = :order_id
    and outbox.stock_released_at is null
    and outbox.amazon_order_id = orders.amazon_order_id
    and orders.fulfilled_by is distinct from 'MERCHANT';

-- name: resume_after_refusals
-- The breaker has stopped the store after refusals, nobody has declined, and now one of the refused orders passes.
update ops.write_holds as holds
set approved_at = :now, dag_run_id = linked.linked_dag_run_id
from ops.order_outbox as linked
where
    linked.amazon_order_id = :order_id
    and linked.state = 'created'
    and linked.refusal_cause is not null
    and holds.store_name = linked.store_name
    and holds.kind = 'orders'
    and holds.reason_code = 'refusals'
    and holds.approved_at is null
    and not exists (
        select from ops.write_hold_decisions as decisions
        where decisions.write_hold_id = holds.write_hold_id and decisions.decided_at >= holds.opened_at
    );

-- name: release_refused
-- The cause for which others were refused is gone. In one sequence: several orders are linked at the same time.
update ops.order_outbox as outbox
set next_attempt_at = :now, refusals = 0, updated_at = :now
from (
    select others.amazon_order_id
    from ops.order_outbox as linked
    inner join ops.order_outbox as others
        on linked.commerce_connection = others.commerce_connection and linked.refusal_cause = others.refusal_cause
    where linked.amazon_order_id = :order_id and others.state = 'rejected'
    order by others.amazon_order_id
    for update of others
) as released
where outbox.amazon_order_id = released.amazon_order_id and outbox.state = 'rejected';

-- name: probe_refusals
update ops.order_outbox as outbox
set next_attempt_at = :now, dag_run_id = :dag_run_id
from (
    select (array_agg(amazon_order_id order by updated_at, amazon_order_id))[1] as amazon_order_id
    from ops.order_outbox
    where state = 'rejected'
    group by commerce_connection, refusal_cause
    having count(next_attempt_at) = 0 and max(updated_at) < :tried_before
) as longest_ago
where outbox.amazon_order_id = longest_ago.amazon_order_id;
