-- name: order_ids
-- Orders of which a version in raw was changed on Amazon in the range; the next ones in the order of their ids.
select distinct amazon_order_id
from raw.amazon_orders
where
    amazon_order_id > :after
    and (cast(:account_name as text) is null or account_name = :account_name)
    and (cast(:updated_from as timestamptz) is null or last_updated_at >= :updated_from)
    and (cast(:updated_to as timestamptz) is null or last_updated_at <= :updated_to)
    and (cast(:order_ids as text[]) is null or amazon_order_id = any(cast(:order_ids as text[])))
order by amazon_order_id
limit :batch_size;

-- name: claim_pages
-- Of these orders all versions count, whatever page brought them, staged or not.
create temporary table claimed_pages on commit drop as
select distinct ingest_window_id, page_number
from raw.amazon_orders
where amazon_order_id = any(cast(:order_ids as text[]));

-- name: differences
with pairs as (
    select
        changed.amazon_order_id,
        '' as amazon_item_id,
        to_jsonb(known) as before,
        to_jsonb(changed) as after
    from changed_orders as changed
    left join core.orders as known on changed.amazon_order_id = known.amazon_order_id
    union all
    select
        items.amazon_order_id,
        items.amazon_item_id,
        to_jsonb(known),
        to_jsonb(items)
    from newest_items as items
    inner join changed_orders as changed on items.amazon_order_id = changed.amazon_order_id
    left join core.order_items as known
        on items.amazon_order_id = known.amazon_order_id and items.amazon_item_id = known.amazon_item_id
),

cells as (
    select
        pairs.amazon_order_id,
        pairs.amazon_item_id,
        names.column_name,
        coalesce(pairs.before -> names.column_name, 'null') as before,
        pairs.after -> names.column_name as after
    from pairs
    cross join lateral jsonb_object_keys(pairs.after) as names (column_name)
),

-- The columns of amounts have four decimals.
rounded as (
    select
        amazon_order_id,
        amazon_item_id,
        column_name,
        before,
        case
            when jsonb_typeof(after) = 'number' then to_jsonb(round(cast(after #>> '{}' as numeric), 4)) else after
        end as after
    from cells
)

insert into ops.replay_differences (
    dag_run_id, amazon_order_id, amazon_item_id, column_name, before, after, found_at
)
select :dag_run_id, amazon_order_id, amazon_item_id, column_name, before #>> '{}', after #>> '{}', :now
from rounded
where before <> after
union all
-- Lines that have left. Those of a Commerce order stay, as canceled.
select :dag_run_id, known.amazon_order_id, known.amazon_item_id, 'line', known.seller_sku, null, :now
from core.order_items as known
inner join changed_orders as changed on known.amazon_order_id = changed.amazon_order_id
where
    (known.commerce_item_id is null or known.canceled_qty < known.ordered_qty)
    and not exists (
        select from newest_items as items
        where items.amazon_order_id = known.amazon_order_id and items.amazon_item_id = known.amazon_item_id
    )
on conflict (dag_run_id, amazon_order_id, amazon_item_id, column_name) do update
    set before = excluded.before, after = excluded.after, found_at = excluded.found_at
    where replay_differences.written_at is null
returning amazon_order_id, amazon_item_id, column_name, before, after;

-- name: keep_equal_orders
delete from changed_orders
where amazon_order_id <> all(cast(:order_ids as text[]));

-- name: orders_to_check_again
-- They were left alone because of what was read; what people decided and what failed in Commerce stays.
select
    orders.amazon_order_id,
    'new' as to_code,
    'Rebuilt from what Amazon had sent; checked again.' as reason
from changed_orders
inner join core.orders as orders on changed_orders.amazon_order_id = orders.amazon_order_id
where orders.pipeline_state in ('waiting', 'not_imported', 'canceled') and orders.skip_reason is null;

-- name: mark_written
update ops.replay_differences
set written_at = :now
where dag_run_id = :dag_run_id and amazon_order_id = any(cast(:order_ids as text[]));
