-- name: plan_canceled_units
-- Lines of which the Commerce order has more units than Amazon still wants: an index that is empty when nothing is to
-- do. Each unit is planned once: the line's units in Commerce are lowered in the same transaction.
with due as (
    select
        amazon_order_id,
        amazon_item_id,
        seller_sku,
        line_number,
        commerce_item_id,
        ordered_qty - canceled_qty as keep_qty,
        commerce_qty,
        pack_units
    from core.order_items
    where has_units_to_withdraw
    order by amazon_order_id, amazon_item_id
    for update
),

lowered as (
    update core.order_items as items
    set commerce_qty = due.keep_qty
    from due
    where items.amazon_order_id = due.amazon_order_id and items.amazon_item_id = due.amazon_item_id
)

insert into ops.order_change_outbox as changes (
    amazon_order_id, kind, payload_sha256, account_name, commerce_connection, items, state, planned_at, dag_run_id,
    updated_at
)
select
    due.amazon_order_id,
    'canceled_units',
    orders.payload_sha256,
    outbox.account_name,
    outbox.commerce_connection,
    jsonb_agg(
        jsonb_build_object(
            'amazon_item_id', due.amazon_item_id,
            'commerce_item_id', due.commerce_item_id,
            'seller_sku', due.seller_sku,
            'canceled_qty', due.commerce_qty - due.keep_qty,
            'keep_qty', due.keep_qty * due.pack_units -- as Commerce counts
        )
        order by due.line_number
    ),
    'planned',
    :now,
    :dag_run_id,
    :now
from due
inner join core.orders as orders on due.amazon_order_id = orders.amazon_order_id
inner join ops.order_outbox as outbox on due.amazon_order_id = outbox.amazon_order_id
group by due.amazon_order_id, orders.payload_sha256, outbox.account_name, outbox.commerce_connection
order by due.amazon_order_id
on conflict (amazon_order_id, kind, payload_sha256) do update
    set
        items = changes.items || excluded.items,
        state = case when changes.state in ('sent', 'in_doubt') then changes.state else 'planned' end,
        done_at = null,
        next_attempt_at = null,
        dag_run_id = excluded.dag_run_id,
        updated_at = excluded.updated_at;

-- name: plan_holds
-- Open orders of which the buyer asks to cancel something: an index of very few orders. Each request puts its order on
-- hold once: who releases the order in Commerce has decided.
insert into ops.order_change_outbox (
    amazon_order_id, kind, payload_sha256, account_name, commerce_connection, state, note, planned_at, dag_run_id,
    updated_at
)
select
    orders.amazon_order_id,
    'hold',
    orders.payload_sha256,
    outbox.account_name,
    outbox.commerce_connection,
    'planned',
    'The buyer asked to cancel; the next run puts the Commerce order on hold.',
    :now,
    :dag_run_id,
    :now
from core.open_cancel_requests as requests
inner join core.orders as orders on requests.amazon_order_id = orders.amazon_order_id
inner join ops.order_outbox as outbox on requests.amazon_order_id = outbox.amazon_order_id
where
    outbox.commerce_order_id is not null
    and not exists (
        select from ops.order_change_outbox as holds
        where holds.amazon_order_id = orders.amazon_order_id and holds.kind = 'hold' and holds.over_at is null
    )
order by orders.amazon_order_id
on conflict do nothing;

-- name: plan_releases
-- Holds whose request is gone: withdrawn, or the order or its lines were canceled or shipped. One that was not sent is
-- dropped; one that was not ours, or could not be done, needs no release.
with over as (
    update ops.order_change_outbox as holds
    set
        over_at = :now,
        state = case when holds.state in ('planned', 'rejected') then 'skipped' else holds.state end,
        done_at = case when holds.state in ('planned', 'rejected') then :now else holds.done_at end,
        dag_run_id = :dag_run_id,
        updated_at = :now
    from core.orders as orders
    where
        holds.kind = 'hold'
        and holds.over_at is null
        and holds.amazon_order_id = orders.amazon_order_id
        and not exists (
            select from core.open_cancel_requests as requests
            where requests.amazon_order_id = orders.amazon_order_id
        )
    returning
        holds.amazon_order_id, holds.account_name, holds.commerce_connection, holds.state, orders.payload_sha256
)

insert into ops.order_change_outbox (
    amazon_order_id, kind, payload_sha256, account_name, commerce_connection, state, note, planned_at, dag_run_id,
    updated_at
)
select
    amazon_order_id,
    'release',
    payload_sha256,
    account_name,
    commerce_connection,
    'planned',
    'The buyer''s request to cancel is gone; the next run releases the Commerce order from hold.',
    :now,
    :dag_run_id,
    :now
from over
where state <> 'skipped'
order by amazon_order_id
on conflict do nothing;

-- name: plan_addresses
-- Orders that Commerce has and whose contact is not the one that they were made with. Whether that concerns the address
-- is seen when it is carried out: nobody decrypts it here.
with due as (
    update ops.order_outbox as outbox
    set contact_loaded_at = contacts.loaded_at
    from pii.order_contacts as contacts
    where
        outbox.amazon_order_id = any(cast(:order_ids as text[]))
        and outbox.amazon_order_id = contacts.amazon_order_id
        and outbox.commerce_order_id is not null
        and outbox.contact_loaded_at is distinct from contacts.loaded_at
    returning outbox.amazon_order_id, outbox.account_name, outbox.commerce_connection
)

insert into ops.order_change_outbox as changes (
    amazon_order_id, kind, payload_sha256, account_name, commerce_connection, state, planned_at, dag_run_id, updated_at
)
select
    due.amazon_order_id, 'address', orders.payload_sha256, due.account_name, due.commerce_connection, 'planned', :now,
    :dag_run_id, :now
from due
inner join core.orders as orders on due.amazon_order_id = orders.amazon_order_id
where orders.fulfilled_by = 'MERCHANT'
order by due.amazon_order_id
on conflict (amazon_order_id, kind, payload_sha256) do update
    set
        state = case when changes.state in ('sent', 'in_doubt') then changes.state else 'planned' end,
        refusals = 0,
        failures = 0,
        done_at = null,
        next_attempt_at = null,
        note = null,
        dag_run_id = excluded.dag_run_id,
        updated_at = excluded.updated_at;

-- name: due_changes
-- The creation of the order has come to its end before: it would invoice what is taken off here. A change waits while
-- another of its order has an unknown outcome: what the Commerce order shows may not be all that was done.
select
    changes.amazon_order_id,
    changes.kind,
    changes.payload_sha256,
    changes.commerce_connection as system,
    outbox.store_name
from ops.order_change_outbox as changes
inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
where
    changes.done_at is null
    and changes.account_name = :account_name
    and coalesce(changes.next_attempt_at, :now) <= :now
    and outbox.finished_at is not null
    and not exists (
        select from ops.held_orders as held
        where
            held.amazon_order_id = changes.amazon_order_id
            and held.kind in ('cancellations', 'refunds')
            and changes.kind = 'canceled_units'
            and changes.state in ('planned', 'rejected')
    )
    and not exists (
        select from ops.order_change_outbox as others
        where
            others.amazon_order_id = changes.amazon_order_id
            and others.state in ('sent', 'in_doubt')
            and others.done_at is null
            and (others.kind, others.payload_sha256) <> (changes.kind, changes.payload_sha256)
    )
-- An order on hold cannot be credited: it is released before.
order by
    changes.failures, changes.kind = 'canceled_units', changes.planned_at, changes.amazon_order_id, changes.kind;

-- name: accounts_with_changes
select distinct changes.account_name
from ops.order_change_outbox as changes
inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
where
    changes.done_at is null
    and coalesce(changes.next_attempt_at, :now) <= :now
    and outbox.finished_at is not null
    and not exists (
        select from ops.held_orders as held
        where
            held.amazon_order_id = changes.amazon_order_id
            and held.kind in ('cancellations', 'refunds')
            and changes.kind = 'canceled_units'
            and changes.state in ('planned', 'rejected')
    )
order by changes.account_name;
