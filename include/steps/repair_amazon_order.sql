-- name: order_to_repair
select
    orders.pipeline_state,
    orders.state_reason,
    orders.skip_reason,
    outbox.state as outbox_state,
    outbox.commerce_order_number,
    outbox.needs_attention_at,
    outbox.finished_at is not null as is_finished,
    (
        select count(*)
        from ops.order_change_outbox as changes
        where changes.amazon_order_id = orders.amazon_order_id and changes.done_at is null
    ) as change_count,
    array(
        select distinct items.seller_sku
        from core.order_items as items
        where items.amazon_order_id = orders.amazon_order_id
        order by items.seller_sku
    ) as seller_skus
from core.orders as orders
left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where orders.amazon_order_id = :order_id
for update of orders;

-- name: try_creation_again
-- An order in doubt is due at once only after its attempts were used up: else it is looked up in its own time.
update ops.order_outbox
set
    next_attempt_at = :now,
    needs_attention_at = null,
    failures = 0,
    refusals = 0,
    dag_run_id = :dag_run_id,
    updated_at = :now
where
    amazon_order_id = :order_id
    and finished_at is null
    and (state in ('planned', 'rejected', 'created', 'adopted') or needs_attention_at is not null);

-- name: try_changes_again
update ops.order_change_outbox
set next_attempt_at = :now, failures = 0, refusals = 0, dag_run_id = :dag_run_id, updated_at = :now
where amazon_order_id = :order_id and done_at is null and state in ('planned', 'rejected');

-- name: map_skus
update core.orders
set sku_map = coalesce(sku_map, '{}') || cast(:sku_map as jsonb)
where amazon_order_id = :order_id;

-- name: set_skip_reason
update core.orders
set skip_reason = :skip_reason
where amazon_order_id = :order_id;

-- name: forget_checks
delete from ops.order_checks
where amazon_order_id = :order_id;
