drop view if exists reporting.sync_health;

create view reporting.sync_health as
with runs as (
    select
        dag_id,
        dag_run_id,
        coalesce(ended_at, started_at) as ended_at,
        state = 'success' as is_success,
        failures,
        -- It never said how it ended, and nothing is to be expected of it any more.
        state = 'running'
        and (overdue_at < now() or lead(started_at) over (partition by dag_id order by started_at) is not null)
            as is_lost,
        state = 'running' as is_running
    from ops.dag_runs
    where not is_dry_run
),

ended as materialized (
    select * from runs
    where not is_running or is_lost
),

-- One row per failed task; what is not about one account concerns all of them.
failures as materialized (
    select
        ended.dag_id,
        ended.dag_run_id,
        ended.ended_at,
        tasks.facts ->> 'account_name' as account_name,
        concat(
            tasks.facts ->> 'task_id',
            ' (' || (tasks.facts ->> 'account_name') || ')',
            ': ',
            tasks.facts ->> 'reason'
        ) as reason
    from ended
    cross join lateral jsonb_each(ended.failures) as tasks (task_name, facts)
    union all
    select
        dag_id,
        dag_run_id,
        ended_at,
        null,
        'It ended without a report: its process or its machine was stopped, or it was marked in Airflow. '
        'Resolution: none needed if a newer run has begun; it goes on where this one stopped. Otherwise '
        'check that Airflow''s scheduler and workers run.'
    from ended
    where is_lost
),

accounts as (
    select distinct account_name from core.stores
    where is_connected
),

-- The account '' is the DAG as a whole.
parts as (
    select
        dag_id,
        '' as account_name
    from ops.dag_runs
    where not is_dry_run
    group by dag_id
    union all
    select
        dags.dag_id,
        accounts.account_name
    from (values ('amazon_orders_to_commerce'), ('commerce_shipments_to_amazon')) as dags (dag_id)
    cross join accounts
),

failed as (
    select distinct
        parts.dag_id,
        parts.account_name,
        failures.dag_run_id,
        failures.ended_at
    from parts
    inner join failures
        on
            parts.dag_id = failures.dag_id
            and (
                parts.account_name = ''
                or failures.account_name is null
                or parts.account_name = failures.account_name
            )
),

succeeded as (
    select
        parts.dag_id,
        parts.account_name,
        max(ended.ended_at) as ended_at
    from parts
    inner join ended on parts.dag_id = ended.dag_id
    left join failed
        on
            parts.dag_id = failed.dag_id
            and parts.account_name = failed.account_name
            and ended.dag_run_id = failed.dag_run_id
    where failed.dag_run_id is null and (ended.is_success or parts.account_name <> '')
    group by parts.dag_id, parts.account_name
),

last_failures as (
    select
        failed.dag_id,
        failed.account_name,
        max(failed.ended_at) as ended_at,
        count(*) filter (
            where failed.ended_at >= coalesce(succeeded.ended_at, '-infinity')
        ) as run_count
    from failed
    left join succeeded on failed.dag_id = succeeded.dag_id and failed.account_name = succeeded.account_name
    group by failed.dag_id, failed.account_name
),

-- How far an account's orders have been read from Amazon, and the shipments of its shops from Commerce.
read_up_to as (
    select distinct
        'amazon_orders_to_commerce' as dag_id,
        stores.account_name,
        stores.marketplace_id as part,
        coverage.watermark
    from core.stores as stores
    left join ops.ingest_coverage as coverage
        on stores.account_name = coverage.account_name and stores.marketplace_id = coverage.marketplace_id
    where stores.is_connected
    union all
    select distinct
        'commerce_shipments_to_amazon',
        stores.account_name,
        stores.commerce_connection,
        shops.watermark
    from core.stores as stores
    left join
        (
            select
                commerce_connection,
                min(watermark) as watermark
            from ops.commerce_cursors
            group by commerce_connection
        ) as shops
        on stores.commerce_connection = shops.commerce_connection
    where stores.is_connected
),

watermarks as (
    select
        dag_id,
        coalesce(account_name, '') as account_name,
        -- The one that is the furthest behind; null if one has not been read at all.
        case when count(*) = count(watermark) then min(watermark) end as watermark
    from read_up_to
    group by grouping sets ((dag_id, account_name), (dag_id))
)

select
    parts.dag_id,
    nullif(parts.account_name, '') as account_name,
    case
        when succeeded.ended_at is null and last_failures.ended_at is null then 'never_ran'
        when last_failures.ended_at >= coalesce(succeeded.ended_at, '-infinity') then 'failing'
        else 'ok'
    end as status_code,
    succeeded.ended_at as last_success_at,
    last_failures.ended_at as last_failure_at,
    (
        select string_agg(failures.reason, e'\n' order by failures.reason) from failures
        where
            failures.dag_id = parts.dag_id
            and failures.ended_at = last_failures.ended_at
            and (
                parts.account_name = ''
                or failures.account_name is null
                or parts.account_name = failures.account_name
            )
    ) as last_failure_reason,
    coalesce(last_failures.run_count, 0) as failed_run_count,
    watermarks.watermark,
    -- The other system's clock may be ahead.
    case when watermarks.watermark > now() then interval '0' else now() - watermarks.watermark end as lag
from parts
left join succeeded on parts.dag_id = succeeded.dag_id and parts.account_name = succeeded.account_name
left join last_failures on parts.dag_id = last_failures.dag_id and parts.account_name = last_failures.account_name
left join watermarks on parts.dag_id = watermarks.dag_id and parts.account_name = watermarks.account_name;

comment on view reporting.sync_health is
'How each DAG does, as a whole and per account, from the reports of the last 30 days (ORDERS_INGEST_RETENTION_DAYS). '
'Dry runs do not count; a run that was limited to other accounts counts as a success.';
comment on column reporting.sync_health.dag_id is 'DAG in Airflow.';
comment on column reporting.sync_health.account_name is
'Account; null: the DAG as a whole. Only the two DAGs that sync have rows per account.';
comment on column reporting.sync_health.status_code is
'ok: the last run that ended has served it; failing: it has not; never_ran: no run has ended.';
comment on column reporting.sync_health.last_success_at is 'End of the last run in which nothing failed for it, UTC.';
comment on column reporting.sync_health.last_failure_at is
'End of the last run in which something failed for it, UTC; its start if the run was stopped without a report.';
comment on column reporting.sync_health.last_failure_reason is
'Why that run failed and what to do, one line per failed task.';
comment on column reporting.sync_health.failed_run_count is 'Runs since the last success in which something failed.';
comment on column reporting.sync_health.watermark is
'What changed before on Amazon, or in the shops of the account, has been read, UTC; null: nothing, or another DAG.';
comment on column reporting.sync_health.lag is 'How long ago that was; the interval of the schedule is normal.';
