drop view if exists reporting.data_freshness;

create view reporting.data_freshness as
with streams (stream, dag_id) as (
    values
    ('amazon_orders', 'amazon_orders_to_commerce'),
    ('commerce_shipments', 'commerce_shipments_to_amazon'),
    ('recent_orders', 'orders_to_reporting')
),

parts as (
    select
        'amazon_orders' as stream,
        stores.store_name,
        stores.account_name,
        stores.marketplace_id,
        stores.commerce_connection,
        coverage.watermark,
        coalesce(stores.amazon_problem, stores.commerce_problem) as problem
    from core.stores as stores
    left join ops.ingest_coverage as coverage
        on stores.account_name = coverage.account_name and stores.marketplace_id = coverage.marketplace_id
    where stores.is_connected
    union all
    select
        'commerce_shipments',
        null,
        null,
        null,
        shops.commerce_connection,
        min(cursors.watermark),
        null
    from (
        select distinct commerce_connection from core.stores
        where is_connected
    ) as shops
    left join ops.commerce_cursors as cursors on shops.commerce_connection = cursors.commerce_connection
    group by shops.commerce_connection
    union all
    select
        'recent_orders',
        null,
        null,
        null,
        null,
        max(runs.started_at),
        null
    from ops.dag_runs as runs
    where runs.dag_id = 'orders_to_reporting' and runs.state = 'success'
),

-- The facts of each DAG, once, however many stores and shops it serves.
syncs as materialized (
    select
        streams.stream,
        streams.dag_id,
        succeeded.ended_at as last_success_at,
        case finished.state when 'running' then 'lost' else finished.state end as last_run_state,
        finished.started_at as last_run_started_at,
        finished.ended_at as last_run_ended_at,
        case
            when finished.state = 'running'
                then
                    'It ended without a report: its process or its machine was stopped, or it was marked in Airflow. '
                    'Resolution: none needed if a newer run has begun; it goes on where this one stopped. Otherwise '
                    'check that Airflow''s scheduler and workers run.'
            else finished.reasons
        end as last_run_reason,
        case when newest.state = 'running' and newest.overdue_at >= now() then newest.started_at end as running_since,
        newest.next_run_at,
        -- A dry run at work keeps the next run waiting.
        coalesce(newest.overdue_at < now() and not rehearsal.is_at_work, false)
        or unpublished.is_overdue as is_overdue,
        finished.failures
    from streams
    left join
        lateral (
            select runs.* from ops.dag_runs as runs
            where runs.dag_id = streams.dag_id and not runs.is_dry_run
            order by runs.started_at desc
            limit 1
        ) as newest
        on true
    left join
        lateral (
            select
                runs.*,
                (
                    select
                        string_agg(
                            concat(
                                failures.facts ->> 'task_id',
                                ' (' || (failures.facts ->> 'account_name') || ')',
                                ': ',
                                failures.facts ->> 'reason'
                            ),
                            e'\n' order by failures.task_name
                        )
                    from jsonb_each(runs.failures) as failures (task_name, facts)
                ) as reasons
            from ops.dag_runs as runs
            where
                runs.dag_id = streams.dag_id
                and not runs.is_dry_run
                and (runs.state <> 'running' or runs.overdue_at < now() or runs.started_at < newest.started_at)
            order by runs.started_at desc
            limit 1
        ) as finished
        on true
    left join
        lateral (
            select max(runs.ended_at) as ended_at
            from ops.dag_runs as runs
            where runs.dag_id = streams.dag_id and runs.state = 'success' and not runs.is_dry_run
        ) as succeeded
        on true
    cross join
        lateral (
            select count(*) > 0 as is_at_work
            from ops.dag_runs as runs
            where
                runs.dag_id = streams.dag_id
                and runs.is_dry_run
                and runs.state = 'running'
                and runs.overdue_at >= now()
        ) as rehearsal
    cross join
        lateral (
            -- Nothing starts this DAG by the clock: it is overdue when orders were read and it has not begun since.
            select streams.stream = 'recent_orders' and exists (
                select from ops.dag_runs as runs
                where
                    runs.dag_id = 'amazon_orders_to_commerce'
                    and runs.state = 'success'
                    and runs.ended_at < now() - interval '10 minutes'
                    and runs.started_at > coalesce(newest.started_at, '-infinity')
            ) as is_overdue
        ) as unpublished
)

select
    syncs.stream,
    parts.store_name,
    parts.account_name,
    parts.marketplace_id,
    parts.commerce_connection,
    parts.watermark,
    -- The other system's clock may be ahead.
    case when parts.watermark > now() then interval '0' else now() - parts.watermark end as lag,
    coalesce(own.reasons, parts.problem) as problem,
    syncs.dag_id,
    syncs.last_success_at,
    syncs.last_run_state,
    syncs.last_run_started_at,
    syncs.last_run_ended_at,
    syncs.last_run_reason,
    syncs.running_since,
    syncs.next_run_at,
    syncs.is_overdue
from syncs
left join parts on syncs.stream = parts.stream
left join
    lateral (
        select string_agg(failures.facts ->> 'reason', e'\n' order by failures.task_name) as reasons
        from jsonb_each(syncs.failures) as failures (task_name, facts)
        where failures.facts ->> 'account_name' = parts.account_name
    ) as own
    on true;

comment on view reporting.data_freshness is
'How current the data is: per store (amazon_orders), per shop (commerce_shipments), for recent_orders; and its DAG. '
'Dry runs do not count.';
comment on column reporting.data_freshness.stream is 'amazon_orders, commerce_shipments or recent_orders.';
comment on column reporting.data_freshness.store_name is 'Connected store (stores.yaml); of amazon_orders only.';
comment on column reporting.data_freshness.account_name is 'Account of the store.';
comment on column reporting.data_freshness.marketplace_id is 'Amazon''s marketplace id of the store.';
comment on column reporting.data_freshness.commerce_connection is 'Airflow connection of the shop.';
comment on column reporting.data_freshness.watermark is 'What changed before is in the tables, UTC; null: nothing.';
comment on column reporting.data_freshness.lag is 'How long ago that was; the interval of the schedule is normal.';
comment on column reporting.data_freshness.problem is 'What kept the last run from serving the store; null: nothing.';
comment on column reporting.data_freshness.dag_id is 'DAG that does it; all other columns from here on are about it.';
comment on column reporting.data_freshness.last_success_at is 'End of its last run without a failure, UTC.';
comment on column reporting.data_freshness.last_run_state is
'How its last run ended: success, failed, or lost (without a report); null: there was none.';
comment on column reporting.data_freshness.last_run_started_at is 'When that run began, UTC.';
comment on column reporting.data_freshness.last_run_ended_at is 'When that run ended, UTC; null: lost.';
comment on column reporting.data_freshness.last_run_reason is
'Why it failed and what to do, one line per failed task; null: it succeeded.';
comment on column reporting.data_freshness.running_since is 'When the run that is at work began, UTC; null: none is.';
comment on column reporting.data_freshness.next_run_at is 'When its schedule starts a run; null: another DAG does.';
comment on column reporting.data_freshness.is_overdue is
'Its next run, or a sign of life of this one, is over 5 minutes late: is the scheduler down, or the DAG paused?';
