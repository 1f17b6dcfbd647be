-- name: open
insert into ops.blocker_episodes as episodes (
    amazon_order_id, amazon_item_id, blocker_code, severity, seller_sku, catalog_sku, message, remedy, requested_qty,
    available_qty, affected_amount, currency_code, opened_at, last_seen_at, check_count, dag_run_id
)
select
    :amazon_order_id, :amazon_item_id, :blocker_code, :severity, :seller_sku, :catalog_sku, :message, :remedy,
    :requested_qty, :available_qty,
    -- A blocker of the whole order holds up its whole amount.
    case when :amazon_item_id = '' then orders.grand_total_amount else items.item_amount end,
    coalesce(items.currency_code, orders.currency_code),
    :now, :now, 1, :dag_run_id
from core.orders as orders
left join core.order_items as items
    on orders.amazon_order_id = items.amazon_order_id and items.amazon_item_id = :amazon_item_id
where orders.amazon_order_id = :amazon_order_id
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

-- name: close
-- Closes the open episodes of these orders that the present check did not find again. `kept` codes are not a check's
-- business: they end with the creation.
update ops.blocker_episodes as episodes
set closed_at = :now, closed_by_code = checked.closed_by_code, dag_run_id = :dag_run_id
from unnest(cast(:order_ids as text[]), cast(:closed_by_codes as text[])) as checked (amazon_order_id, closed_by_code)
where
    episodes.amazon_order_id = checked.amazon_order_id
    and episodes.closed_at is null
    and (checked.closed_by_code <> 'solved' or not episodes.blocker_code = any(cast(:kept as text[])))
    and episodes.last_seen_at < :now;

-- name: end_warning
update ops.blocker_episodes
set closed_at = :now, closed_by_code = 'solved', dag_run_id = :dag_run_id
where amazon_order_id = :order_id and blocker_code = :blocker_code and closed_at is null;
