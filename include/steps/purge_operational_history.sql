-- name: api_calls
-- Deletes and sums up in one statement: no request is counted twice or lost, whenever this ends.
with old as (
    select api_call_id
    from ops.api_calls
    where called_at < :before
    order by called_at
    limit :batch_size
),

gone as (
    delete from ops.api_calls as calls
    using old
    where calls.api_call_id = old.api_call_id
    returning calls.*
),

summed as (
    insert into ops.api_calls_hourly as hourly (
        hour_at, system_code, connection, operation, status_class, call_count, throttled_count, total_duration_ms,
        max_duration_ms
    )
    select
        hour_at,
        system_code,
        connection,
        operation,
        status_class,
        count(*),
        count(*) filter (where is_throttled),
        sum(duration_ms),
        max(duration_ms)
    from (
        select
            gone.*,
            date_trunc('hour', gone.called_at) as hour_at,
            coalesce(cast(floor(gone.status_code / 100) as text) || 'xx', 'none') as status_class
        from gone
    ) as calls
    group by hour_at, system_code, connection, operation, status_class
    on conflict (hour_at, system_code, connection, operation, status_class) do update
        set
            call_count = hourly.call_count + excluded.call_count,
            throttled_count = hourly.throttled_count + excluded.throttled_count,
            total_duration_ms = hourly.total_duration_ms + excluded.total_duration_ms,
            max_duration_ms = greatest(hourly.max_duration_ms, excluded.max_duration_ms)
)

select count(*) from gone;

-- name: api_calls_hourly
with old as (
    select hour_at, system_code, connection, operation, status_class
    from ops.api_calls_hourly
    where hour_at < :before
    order by hour_at
    limit :batch_size
),

gone as (
    delete from ops.api_calls_hourly as hourly
    using old
    where
        hourly.hour_at = old.hour_at
        and hourly.system_code = old.system_code
        and hourly.connection = old.connection
        and hourly.operation = old.operation
        and hourly.status_class = old.status_class
    returning 1
)

select count(*) from gone;

-- name: ingest_windows
-- With their pages. Open windows and those with a page that is not staged stay as well.
with old as (
    select windows.ingest_window_id
    from ops.ingest_windows as windows
    where
        windows.opened_at < :before
        and windows.state <> 'open'
        and not exists (
            select from ops.ingest_pages as pages
            where pages.ingest_window_id = windows.ingest_window_id and pages.staged_at is null
        )
    order by windows.opened_at
    limit :batch_size
),

gone_pages as (
    delete from ops.ingest_pages as pages
    using old
    where pages.ingest_window_id = old.ingest_window_id
    returning 1
),

gone as (
    delete from ops.ingest_windows as windows
    using old
    where windows.ingest_window_id = old.ingest_window_id
    returning 1
)

select count(*) from gone;

-- name: validation_results
with old as (
    select dag_run_id, suite_sha256, rule_code
    from ops.validation_results
    where validated_at < :before
    order by validated_at
    limit :batch_size
),

gone as (
    delete from ops.validation_results as results
    using old
    where
        results.dag_run_id = old.dag_run_id
        and results.suite_sha256 = old.suite_sha256
        and results.rule_code = old.rule_code
    returning 1
)

select count(*) from gone;

-- name: dry_run_results
with old as (
    select dag_run_id, amazon_order_id, action
    from ops.dry_run_results
    where found_at < :before
    order by found_at
    limit :batch_size
),

gone as (
    delete from ops.dry_run_results as results
    using old
    where
        results.dag_run_id = old.dag_run_id
        and results.amazon_order_id = old.amazon_order_id
        and results.action = old.action
    returning 1
)

select count(*) from gone;

-- name: replay_differences
with old as (
    select dag_run_id, amazon_order_id, amazon_item_id, column_name
    from ops.replay_differences
    where found_at < :before
    order by found_at
    limit :batch_size
),

gone as (
    delete from ops.replay_differences as differences
    using old
    where
        differences.dag_run_id = old.dag_run_id
        and differences.amazon_order_id = old.amazon_order_id
        and differences.amazon_item_id = old.amazon_item_id
        and differences.column_name = old.column_name
    returning 1
)

select count(*) from gone;

-- name: bad_addresses
-- Of orders for which nothing is to be created any more. If that changes, the creation looks at the address itself.
with old as (
    select bad.amazon_order_id
    from ops.bad_addresses as bad
    inner join core.orders as orders on bad.amazon_order_id = orders.amazon_order_id
    where
        bad.found_at < :before
        and orders.pipeline_state in ('created', 'completed', 'canceled', 'not_imported')
    limit :batch_size
),

gone as (
    delete from ops.bad_addresses as bad
    using old
    where bad.amazon_order_id = old.amazon_order_id
    returning 1
)

select count(*) from gone;

-- name: dag_runs
-- The last run of a DAG and its last success stay: people are told of them.
with old as (
    select runs.dag_id, runs.dag_run_id
    from ops.dag_runs as runs
    where
        runs.started_at < :before
        and (
            runs.is_dry_run
            or exists (
                select from ops.dag_runs as newer
                where newer.dag_id = runs.dag_id and newer.started_at > runs.started_at and not newer.is_dry_run
            )
        )
        and (
            runs.is_dry_run
            or runs.state <> 'success'
            or exists (
                select from ops.dag_runs as newer
                where
                    newer.dag_id = runs.dag_id
                    and newer.started_at > runs.started_at
                    and newer.state = 'success'
                    and not newer.is_dry_run
            )
        )
    order by runs.started_at
    limit :batch_size
),

gone as (
    delete from ops.dag_runs as runs
    using old
    where runs.dag_id = old.dag_id and runs.dag_run_id = old.dag_run_id
    returning 1
)

select count(*) from gone;
