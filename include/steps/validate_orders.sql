-- name: complete_orders
-- Shipped on Amazon and linked, and both were seen before this run.
select orders.amazon_order_id
from core.orders as orders
inner join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where
    orders.pipeline_state = 'created'
    and orders.amazon_status = 'SHIPPED'
    and outbox.finished_at is not null
    and orders.status_dag_run_id <> :dag_run_id
    and outbox.linked_dag_run_id <> :dag_run_id;

-- name: candidates
-- Orders that Commerce cannot have yet: new, held, promised and not sent, refused and due again.
select
    orders.amazon_order_id,
    orders.store_name,
    orders.pipeline_state,
    orders.payload_sha256,
    stores.import_since
from core.orders as orders
left join core.stores as stores on orders.store_name = stores.store_name and stores.is_connected
left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where
    orders.pipeline_state in ('new', 'blocked', 'ready')
    and coalesce(outbox.state, 'planned') in ('planned', 'rejected', 'canceled')
    or (
        orders.pipeline_state = 'rejected'
        and outbox.state = 'rejected'
        and outbox.next_attempt_at <= :now
    )
order by orders.purchased_at, orders.amazon_order_id;

-- name: promised
-- Units of orders that Commerce has or may have and that are not shipped: Commerce reserves nothing for them.
select
    outbox.store_name,
    outbox.commerce_connection,
    outbox.commerce_store_view,
    items.seller_sku,
    sum(items.ordered_qty - coalesce(shipped.qty, 0)) as qty
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
inner join core.order_items as items on outbox.amazon_order_id = items.amazon_order_id
left join lateral (
    select sum(shipment_items.qty) as qty
    from core.shipments as shipments
    inner join core.shipment_items as shipment_items
        on
            shipments.commerce_connection = shipment_items.commerce_connection
            and shipments.commerce_shipment_id = shipment_items.commerce_shipment_id
    where
        shipments.amazon_order_id = items.amazon_order_id
        and shipment_items.amazon_item_id = items.amazon_item_id
) as shipped on true
where
    outbox.state in ('sent', 'in_doubt', 'created', 'adopted')
    and orders.fulfilled_by = 'MERCHANT'
    and orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE')
    and items.ordered_qty > coalesce(shipped.qty, 0)
group by outbox.store_name, outbox.commerce_connection, outbox.commerce_store_view, items.seller_sku;

-- name: upsert_product
insert into core.products (
    commerce_connection, commerce_store_view, catalog_sku, commerce_product_id, commerce_sku, product_name, type_id,
    is_enabled, salable_qty, checked_at, dag_run_id
)
values (
    :commerce_connection, :commerce_store_view, :catalog_sku, :commerce_product_id, :commerce_sku, :product_name,
    :type_id, :is_enabled, :salable_qty, :checked_at, :dag_run_id
)
on conflict (commerce_connection, commerce_store_view, catalog_sku) do update
    set
        commerce_product_id = excluded.commerce_product_id,
        commerce_sku = excluded.commerce_sku,
        product_name = excluded.product_name,
        type_id = excluded.type_id,
        is_enabled = excluded.is_enabled,
        salable_qty = excluded.salable_qty,
        checked_at = excluded.checked_at,
        dag_run_id = excluded.dag_run_id;

-- name: open_episode
insert into ops.blocker_episodes as episodes (
    amazon_order_id, amazon_item_id, blocker_code, severity, seller_sku, catalog_sku, message, remedy, requested_qty,
    available_qty, affected_amount, currency_code, opened_at, last_seen_at, check_count, dag_run_id
)
values (
    :amazon_order_id, :amazon_item_id, :blocker_code, :severity, :seller_sku, :catalog_sku, :message, :remedy,
    :requested_qty, :available_qty, :affected_amount, :currency_code, :now, :now, 1, :dag_run_id
)
on conflict (amazon_order_id, amazon_item_id, blocker_code) where closed_at is null do update
    set
        severity = excluded.severity,
        seller_sku = excluded.seller_sku,
        catalog_sku = excluded.catalog_sku,
        message = excluded.message,
        remedy = excluded.remedy,
        requested_qty = excluded.requested_qty,
        available_qty = excluded.available_qty,
        affected_amount = excluded.affected_amount,
        currency_code = excluded.currency_code,
        last_seen_at = excluded.last_seen_at,
        check_count = episodes.check_count + case when episodes.dag_run_id = excluded.dag_run_id then 0 else 1 end,
        dag_run_id = excluded.dag_run_id;

-- name: close_episodes
-- Closes the open episodes of the judged orders that this run did not find again.
update ops.blocker_episodes as episodes
set closed_at = :now, closed_by_code = judged.closed_by_code, dag_run_id = :dag_run_id
from unnest(cast(:order_ids as text[]), cast(:closed_by_codes as text[])) as judged (amazon_order_id, closed_by_code)
where
    episodes.amazon_order_id = judged.amazon_order_id
    and episodes.closed_at is null
    -- A refusal ends with the creation; only what makes the order nobody's business ends it here.
    and (episodes.blocker_code <> 'rejected_by_commerce' or judged.closed_by_code <> 'solved')
    and episodes.last_seen_at < :now;

-- name: insert_result
insert into ops.validation_results (
    dag_run_id, suite_sha256, rule_code, expectation_type, severity, is_success, is_errored, evaluated_count,
    unexpected_count, duration_ms, validated_at
)
values (
    :dag_run_id, :suite_sha256, :rule_code, :expectation_type, :severity, :is_success, :is_errored, :evaluated_count,
    :unexpected_count, :duration_ms, :now
)
on conflict (dag_run_id, suite_sha256, rule_code) do update
    set
        is_success = excluded.is_success,
        is_errored = excluded.is_errored,
        evaluated_count = excluded.evaluated_count,
        unexpected_count = excluded.unexpected_count,
        duration_ms = excluded.duration_ms,
        validated_at = excluded.validated_at;

-- name: plan_order
insert into ops.order_outbox as outbox (
    amazon_order_id, account_name, store_name, commerce_connection, commerce_store_view, increment_id, state,
    planned_at, dag_run_id, updated_at
)
values (
    :amazon_order_id, :account_name, :store_name, :commerce_connection, :commerce_store_view, :increment_id,
    'planned', :now, :dag_run_id, :now
)
on conflict (amazon_order_id) do update
    set
        store_name = excluded.store_name,
        commerce_connection = excluded.commerce_connection,
        commerce_store_view = excluded.commerce_store_view,
        increment_id = excluded.increment_id,
        state = 'planned',
        next_attempt_at = null,
        refusals = case when :is_changed then 0 else outbox.refusals end,
        dag_run_id = excluded.dag_run_id,
        updated_at = excluded.updated_at
    where outbox.state in ('planned', 'rejected', 'canceled')
returning amazon_order_id;

-- name: withdraw_orders
-- A promise that was not sent yet is taken back; whatever was or may have been sent stays.
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

-- name: versions_now
select amazon_order_id, payload_sha256
from core.orders
where amazon_order_id = any(cast(:order_ids as text[]))
order by amazon_order_id
for update;

-- name: accounts_with_work
select distinct account_name
from ops.order_outbox
where
    state in ('planned', 'sent')
    or (state = 'in_doubt' and next_attempt_at <= :now)
    or (state in ('created', 'adopted') and finished_at is null and coalesce(next_attempt_at, :now) <= :now)
order by account_name;
