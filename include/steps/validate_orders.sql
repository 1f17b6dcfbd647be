-- name: candidates
-- Orders that Commerce cannot have yet: new, blocked, planned and due, refused and due again.
select
    orders.amazon_order_id,
    orders.store_name,
    orders.pipeline_state,
    orders.payload_sha256,
    -- A backfill may want older ones, too; null: no store is connected.
    case
        when marks.create_in_commerce and since.imported_at is not null
            then least(since.imported_at, orders.purchased_at)
        else since.imported_at
    end as import_since,
    coalesce(not marks.create_in_commerce and not marks.is_lifted, false) as is_only_looked_at
from core.orders as orders
left join core.stores as stores on orders.store_name = stores.store_name and stores.is_connected
left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
left join ops.backfilled_orders as marks on orders.amazon_order_id = marks.amazon_order_id
cross join
    lateral (
        select case
            when orders.fulfilled_by = 'AMAZON' then stores.amazon_fulfilled_since else stores.import_since
        end as imported_at
    ) as since
where
    orders.pipeline_state in ('new', 'blocked', 'ready', 'rejected')
    and (
        orders.pipeline_state <> 'rejected'
        and coalesce(outbox.state, 'planned') in ('planned', 'rejected', 'canceled')
        -- One that failed in Commerce and waits was validated before.
        and (outbox.state is distinct from 'planned' or coalesce(outbox.next_attempt_at, :now) <= :now)
        or orders.pipeline_state = 'rejected' and outbox.state = 'rejected' and outbox.next_attempt_at <= :now
    )
order by orders.purchased_at, orders.amazon_order_id;

-- name: allocated
-- Units of orders that Commerce has or may have, or that wait for their next attempt, and that are not shipped. An
-- order that is shipped whole, or has ended in Commerce, is left out by index (stock_released_at).
select
    outbox.store_name,
    outbox.commerce_connection,
    outbox.commerce_store_view,
    items.seller_sku,
    orders.sku_map ->> items.seller_sku as corrected_sku,
    mapped.commerce_sku,
    mapped.quantity,
    -- Until it is sent, an order is counted by the map as it is now.
    outbox.attempts = 0 and outbox.commerce_order_id is null as is_unsent,
    sum((items.ordered_qty - items.canceled_qty) * items.pack_units - coalesce(shipped.qty, 0)) as qty
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
inner join core.order_items as items on outbox.amazon_order_id = items.amazon_order_id
left join core.sku_map as mapped on orders.store_name = mapped.store_name and items.seller_sku = mapped.seller_sku
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
    outbox.stock_released_at is null
    and outbox.state in ('planned', 'sent', 'in_doubt', 'created', 'adopted')
    and (outbox.state <> 'planned' or outbox.next_attempt_at > :now)
    and orders.fulfilled_by = 'MERCHANT'
    and orders.amazon_status not in ('CANCELLED', 'UNFULFILLABLE')
    and (items.ordered_qty - items.canceled_qty) * items.pack_units > coalesce(shipped.qty, 0)
group by
    outbox.store_name, outbox.commerce_connection, outbox.commerce_store_view, items.seller_sku,
    orders.sku_map ->> items.seller_sku, mapped.commerce_sku, mapped.quantity,
    outbox.attempts = 0 and outbox.commerce_order_id is null;

-- name: pending
-- Lines of orders that Amazon has not released yet, of stores that reserve their units.
select
    orders.store_name,
    orders.amazon_order_id,
    orders.purchased_at,
    items.amazon_item_id,
    items.seller_sku,
    orders.sku_map ->> items.seller_sku as corrected_sku,
    mapped.commerce_sku,
    mapped.quantity,
    true as is_unsent,
    items.ordered_qty - items.canceled_qty as qty
from core.orders as orders
inner join core.stores as stores on orders.store_name = stores.store_name and stores.is_connected
inner join core.order_items as items on orders.amazon_order_id = items.amazon_order_id
left join core.sku_map as mapped on orders.store_name = mapped.store_name and items.seller_sku = mapped.seller_sku
where
    orders.store_name = any(cast(:store_names as text[]))
    and orders.pipeline_state in ('new', 'waiting')
    and orders.amazon_status = 'PENDING'
    and orders.fulfilled_by = 'MERCHANT'
    and orders.purchased_at >= stores.import_since
    and orders.skip_reason is null
    and items.ordered_qty > items.canceled_qty;

-- name: upsert_product
insert into core.products (
    commerce_connection, commerce_store_view, catalog_sku, commerce_product_id, commerce_sku, product_name, type_id,
    is_enabled, salable_qty, checked_at, dag_run_id, weight
)
values (
    :commerce_connection, :commerce_store_view, :catalog_sku, :commerce_product_id, :commerce_sku, :product_name,
    :type_id, :is_enabled, :salable_qty, :checked_at, :dag_run_id, :weight
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
        dag_run_id = excluded.dag_run_id,
        weight = excluded.weight;

-- name: upsert_store_view
insert into core.store_views (
    commerce_connection, commerce_store_view, store_id, website_id, website_code, base_currency_code, stock_id,
    checked_at, dag_run_id
)
values (
    :commerce_connection, :commerce_store_view, :store_id, :website_id, :website_code, :base_currency_code, :stock_id,
    :checked_at, :dag_run_id
)
on conflict (commerce_connection, commerce_store_view) do update
    set
        store_id = excluded.store_id,
        website_id = excluded.website_id,
        website_code = excluded.website_code,
        base_currency_code = excluded.base_currency_code,
        stock_id = excluded.stock_id,
        checked_at = excluded.checked_at,
        dag_run_id = excluded.dag_run_id;

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
        validated_at = excluded.validated_at
    -- A repeat in the same run checks only what changed; the fuller result stays.
    where validation_results.evaluated_count <= excluded.evaluated_count;

-- name: versions_now
select amazon_order_id, payload_sha256
from core.orders
where amazon_order_id = any(cast(:order_ids as text[]))
order by amazon_order_id
for update;

-- name: note_store_problems
-- Why the shop of a store could not be worked with in this run; empty when all is well.
update core.stores as stores
set commerce_problem = problems.problem, commerce_problem_dag_run_id = problems.dag_run_id
from (
    select
        stores_now.store_name,
        noted.problem,
        case when noted.problem is not null then :dag_run_id end as dag_run_id
    from core.stores as stores_now
    left join unnest(cast(:store_names as text[]), cast(:problems as text[])) as noted (store_name, problem)
        on stores_now.store_name = noted.store_name
) as problems
where
    stores.store_name = problems.store_name
    and (stores.commerce_problem, stores.commerce_problem_dag_run_id)
    is distinct from (problems.problem, problems.dag_run_id);

-- name: accounts_with_problems
select distinct account_name
from core.stores
where commerce_problem_dag_run_id = :dag_run_id and is_connected;
