-- name: mark_orders
-- A wish for Commerce goes before; it is not taken back by a later backfill without it.
insert into ops.backfilled_orders as marks (
    amazon_order_id, account_name, create_in_commerce, is_lifted, is_settled, backfill_id, marked_at, dag_run_id
)
select
    listed.amazon_order_id,
    :account_name,
    :create_in_commerce,
    false,
    not :create_in_commerce,
    :backfill_id,
    :now,
    :dag_run_id
from (select distinct unnest(cast(:order_ids as text[])) as amazon_order_id) as listed
where
    :create_in_commerce
    or listed.amazon_order_id not in (
        select amazon_order_id from core.orders
        where amazon_order_id = any(cast(:order_ids as text[]))
        union all
        select amazon_order_id from raw.amazon_orders
        where amazon_order_id = any(cast(:order_ids as text[]))
    )
order by listed.amazon_order_id
on conflict (amazon_order_id) do update
    set
        create_in_commerce = true,
        is_lifted = false,
        is_settled = false,
        backfill_id = excluded.backfill_id,
        marked_at = excluded.marked_at,
        dag_run_id = excluded.dag_run_id
    where excluded.create_in_commerce and not marks.create_in_commerce;

-- name: lift_marks
update ops.backfilled_orders
set is_lifted = true, is_settled = false, dag_run_id = :dag_run_id
where
    amazon_order_id = any(cast(:order_ids as text[]))
    and not create_in_commerce
    and not is_lifted;

-- name: orders_to_check_again
select
    orders.amazon_order_id,
    'new' as to_code,
    case
        when marks.create_in_commerce then 'Wanted in Commerce by a backfill; checked in this run.'
        else 'Listed by Amazon like all others now; checked again in this run.'
    end as reason
from ops.backfilled_orders as marks
inner join core.orders as orders on marks.amazon_order_id = orders.amazon_order_id
where not marks.is_settled and orders.pipeline_state = 'not_imported';

-- name: drop_lifted
-- Those that are not staged yet have not been checked either.
delete from ops.backfilled_orders
where is_lifted and not is_settled;

-- name: settle_wanted
update ops.backfilled_orders as marks
set is_settled = true
from core.orders as orders
where not marks.is_settled and marks.amazon_order_id = orders.amazon_order_id;
