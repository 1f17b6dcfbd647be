-- name: open_orders
select
    outbox.amazon_order_id,
    orders.store_name
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where
    outbox.account_name = :account_name
    and (
        outbox.state in ('planned', 'sent')
        or (outbox.state = 'in_doubt' and outbox.next_attempt_at <= :now)
        or (
            outbox.state in ('created', 'adopted')
            and outbox.finished_at is null
            and coalesce(outbox.next_attempt_at, :now) <= :now
        )
    )
-- New orders first: one that cannot be finished must not stand before those that wait to be created.
order by outbox.commerce_order_id is not null, orders.purchased_at, orders.amazon_order_id
limit :create_limit;

-- name: outbox_row
select *
from ops.order_outbox
where amazon_order_id = :amazon_order_id;

-- name: contact
select contact_encrypted
from pii.order_contacts
where amazon_order_id = :amazon_order_id;

-- name: mark_sent
-- Committed before the call: whatever happens next, this order is known to have been sent.
update ops.order_outbox
set
    state = 'sent',
    sent_at = :now,
    attempts = attempts + 1,
    not_found_count = 0,
    request_sha256 = :request_sha256,
    last_error_code = null,
    last_error = null,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and state = 'planned'
returning amazon_order_id;

-- name: mark_in_doubt
update ops.order_outbox
set
    state = 'in_doubt',
    next_attempt_at = :next_attempt_at,
    not_found_count = :not_found_count,
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and state in ('sent', 'in_doubt');

-- name: mark_planned
update ops.order_outbox
set
    state = 'planned',
    next_attempt_at = null,
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and state in ('sent', 'in_doubt');

-- name: mark_rejected
update ops.order_outbox
set
    state = 'rejected',
    next_attempt_at = :next_attempt_at,
    last_error_code = :code,
    last_error = :error,
    refusals = :refusals,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and state in ('planned', 'sent');

-- name: withdraw
update ops.order_outbox
set state = 'canceled', dag_run_id = :dag_run_id, updated_at = :now
where amazon_order_id = :amazon_order_id and state = 'planned';

-- name: link
update ops.order_outbox
set
    state = :state,
    commerce_order_id = :commerce_order_id,
    commerce_order_number = :commerce_order_number,
    linked_at = :now,
    linked_dag_run_id = :dag_run_id,
    next_attempt_at = null,
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and commerce_order_id is null;

-- name: link_item
update core.order_items
set commerce_item_id = :commerce_item_id
where amazon_order_id = :amazon_order_id and amazon_item_id = :amazon_item_id;

-- name: mark_invoiced
update ops.order_outbox
set invoiced_at = :now, dag_run_id = :dag_run_id, updated_at = :now
where amazon_order_id = :amazon_order_id and invoiced_at is null;

-- name: mark_finished
update ops.order_outbox
set
    finished_at = :now,
    next_attempt_at = null,
    last_error_code = null,
    last_error = null,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and finished_at is null;

-- name: mark_unfinished
update ops.order_outbox
set
    next_attempt_at = :next_attempt_at,
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and finished_at is null;

-- name: open_rejection
insert into ops.blocker_episodes as episodes (
    amazon_order_id, amazon_item_id, blocker_code, severity, message, remedy, affected_amount, currency_code,
    opened_at, last_seen_at, check_count, dag_run_id
)
select
    orders.amazon_order_id, '', 'rejected_by_commerce', 'critical', :message, :remedy, orders.grand_total_amount,
    orders.currency_code, :now, :now, 1, :dag_run_id
from core.orders as orders
where orders.amazon_order_id = :amazon_order_id
on conflict (amazon_order_id, amazon_item_id, blocker_code) where closed_at is null do update
    set
        message = excluded.message,
        remedy = excluded.remedy,
        last_seen_at = excluded.last_seen_at,
        check_count = episodes.check_count + 1,
        dag_run_id = excluded.dag_run_id;

-- name: close_episodes
update ops.blocker_episodes
set closed_at = :now, closed_by_code = :closed_by_code, dag_run_id = :dag_run_id
where amazon_order_id = :amazon_order_id and closed_at is null and severity = 'critical';
