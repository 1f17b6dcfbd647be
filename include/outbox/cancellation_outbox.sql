-- name: accounts_with_cancellations
select distinct account_name
from ops.cancellation_outbox
where state in ('planned', 'submitted', 'accepted', 'unconfirmed')
order by account_name;

-- name: orders_to_cancel
select
    orders.amazon_order_id,
    orders.account_name,
    orders.marketplace_id,
    orders.amazon_status,
    orders.fulfilled_by,
    (
        select count(*) from core.shipments as shipments
        where shipments.amazon_order_id = orders.amazon_order_id
    ) as commerce_shipment_count,
    asked.requested_by,
    asked.requested_at
from core.orders as orders
left join ops.cancellation_outbox as asked
    on
        orders.amazon_order_id = asked.amazon_order_id
        and asked.state in ('planned', 'submitted', 'accepted', 'done')
where orders.amazon_order_id = any(cast(:order_ids as text[]));

-- name: settle_canceled
update ops.cancellation_outbox as asked
set
    state = 'done',
    done_at = :now,
    note = case
        when asked.feed_number is null
            then 'Canceled on Amazon before the cancellation of ' || asked.requested_by || ' was submitted.'
        else 'Canceled by ' || asked.requested_by || ' (' || asked.reason || ').'
    end,
    dag_run_id = :dag_run_id,
    updated_at = :now
from core.orders as orders
where
    asked.account_name = :account_name
    and asked.state in ('planned', 'submitted', 'accepted', 'unconfirmed')
    and asked.amazon_order_id = orders.amazon_order_id
    and orders.amazon_status = any(cast(:canceled_statuses as text[]))
    -- One that a person asked for again is over with the newer one.
    and not (
        asked.state = 'unconfirmed'
        and exists (
            select from ops.cancellation_outbox as others
            where
                others.amazon_order_id = asked.amazon_order_id
                and others.state in ('planned', 'submitted', 'accepted', 'unconfirmed', 'done')
                and others.requested_at > asked.requested_at
        )
    );

-- name: settle_unconfirmed
update ops.cancellation_outbox as asked
set
    state = 'unconfirmed',
    done_at = :now,
    note = 'Amazon took the cancellation of ' || asked.requested_by || ', but still reports the order as '
    || orders.amazon_status || '. Look at the order in Seller Central and cancel it there; do not ship it before.',
    dag_run_id = :dag_run_id,
    updated_at = :now
from core.orders as orders
where
    asked.account_name = :account_name
    and asked.state = 'accepted'
    and asked.reported_at <= :reported_before
    and asked.amazon_order_id = orders.amazon_order_id;

-- name: due_cancellations
select
    asked.*,
    orders.amazon_status,
    orders.fulfilled_by,
    (
        select count(*) from core.shipments as shipments
        where shipments.amazon_order_id = orders.amazon_order_id
    ) as commerce_shipment_count
from ops.cancellation_outbox as asked
inner join core.orders as orders on asked.amazon_order_id = orders.amazon_order_id
where
    asked.account_name = :account_name
    and asked.state = 'planned'
    and asked.feed_number is null
    and coalesce(asked.next_attempt_at, :now) <= :now
order by asked.requested_at, asked.amazon_order_id
limit 1000;

-- name: messages
-- What is still to be submitted of a feed.
select
    asked.message_id,
    asked.amazon_order_id,
    asked.reason,
    array(
        select items.amazon_item_id
        from core.order_items as items
        where items.amazon_order_id = asked.amazon_order_id and items.ordered_qty > items.canceled_qty
        order by items.line_number
    ) as amazon_item_ids
from ops.cancellation_outbox as asked
where asked.feed_number = :feed_number and asked.state = 'planned'
order by asked.message_id;
