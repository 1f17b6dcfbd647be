-- name: take_up
-- The unfinished one of the same request, or what this run has finished already.
update ops.backfills
set dag_run_id = :dag_run_id
where
    backfill_id = (
        select known.backfill_id
        from ops.backfills as known
        where
            known.account_name = :account_name
            and known.request_sha256 = :sha256
            and (known.finished_at is null or known.dag_run_id = :dag_run_id)
        order by known.backfill_id desc
        limit 1
    )
returning *;

-- name: begin
insert into ops.backfills (
    account_name, request_sha256, marketplace_ids, created_from, created_to, read_from, create_in_commerce, started_at,
    dag_run_id
)
values (
    :account_name, :sha256, :marketplace_ids, :created_from, :created_to, :created_to, :create_in_commerce, :now,
    :dag_run_id
)
returning *;

-- name: add_orders
insert into ops.backfill_orders (backfill_id, amazon_order_id, problem, done_at)
select
    :backfill_id,
    asked.amazon_order_id,
    case when asked.amazon_order_id = any(cast(:wrong as text[])) then :problem end,
    case when asked.amazon_order_id = any(cast(:wrong as text[])) then cast(:now as timestamptz) end
from unnest(cast(:order_ids as text[])) as asked (amazon_order_id);

-- name: state
select *
from reporting.backfills
where backfill_id = :backfill_id;

-- name: lock
select *
from ops.backfills
where backfill_id = :backfill_id
for update;

-- name: advance
update ops.backfills
set
    page_count = page_count + 1,
    order_count = order_count + :orders,
    quarantined_count = quarantined_count + :quarantined,
    window_count = window_count + case when :is_last then 1 else 0 end,
    read_from = case
        when :is_last then least(read_from, coalesce(cast(:read_from as timestamptz), read_from)) else read_from
    end,
    failures = 0,
    progressed_at = :now
where backfill_id = :backfill_id;

-- name: next_order
select amazon_order_id
from ops.backfill_orders
where
    backfill_id = :backfill_id
    and done_at is null
    and amazon_order_id <> all(cast(:besides as text[]))
order by amazon_order_id
limit 1;

-- name: settle_order
update ops.backfill_orders
set done_at = :now, problem = :problem
where backfill_id = :backfill_id and amazon_order_id = :order_id;

-- name: fail_order
update ops.backfill_orders
set
    attempts = attempts + 1,
    problem = :problem,
    done_at = case when attempts + 1 >= :most then cast(:now as timestamptz) end
where backfill_id = :backfill_id and amazon_order_id = :order_id;

-- name: fail
update ops.backfills
set failures = failures + 1
where backfill_id = :backfill_id
returning failures;

-- name: finish
update ops.backfills as backfills
set finished_at = :now
where
    backfills.backfill_id = :backfill_id
    and backfills.finished_at is null
    and (
        backfills.created_from is null
        or backfills.window_count > 0 and backfills.read_from <= backfills.created_from
    )
    and not exists (
        select from ops.backfill_orders as asked
        where asked.backfill_id = backfills.backfill_id and asked.done_at is null
    );
