-- name: count_drift
-- Sorted, so that accounts that land at the same time do not wait for each other in a circle.
insert into ops.schema_drift as drift (
    path, kind, code, order_count, first_seen_at, last_seen_at, example_order_id, dag_run_id
)
select
    found.path,
    found.kind,
    found.code,
    count(*),
    :now,
    :now,
    max(found.order_id),
    :dag_run_id
from
    unnest(
        cast(:order_ids as text[]), cast(:paths as text[]), cast(:kinds as text[]), cast(:codes as text[])
    ) as found (order_id, path, kind, code)
group by found.path, found.kind, found.code
order by found.path, found.kind, found.code
on conflict (path, kind, code) do update
    set
        order_count = drift.order_count + excluded.order_count,
        last_seen_at = greatest(drift.last_seen_at, excluded.last_seen_at),
        example_order_id = coalesce(excluded.example_order_id, drift.example_order_id),
        dag_run_id = excluded.dag_run_id
returning path, kind, code, example_order_id, xmax = 0 as is_new;
