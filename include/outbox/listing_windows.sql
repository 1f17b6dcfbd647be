-- name: open_window
select *
from ops.ingest_windows
where account_name = :account_name and kind = :kind and backfill_id = :backfill_id and state = 'open'
for update;

-- name: insert_window
insert into ops.ingest_windows (
    account_name, kind, backfill_id, marketplace_ids, updated_from, updated_to, query, state, opened_at, dag_run_id
)
values (
    :account_name, :kind, :backfill_id, :marketplace_ids, :updated_from, :updated_to, :query, 'open', now(), :dag_run_id
)
returning *;

-- name: abandon_window
update ops.ingest_windows
set state = 'abandoned', next_token = null
where ingest_window_id = :ingest_window_id and state = 'open';

-- name: forget_window
-- Never answered: as if it had not been asked.
delete from ops.ingest_windows
where ingest_window_id = :ingest_window_id and state = 'open' and page_count = 0;

-- name: watermark
select max(watermark)
from ops.ingest_coverage
where account_name = :account_name;

-- name: connected_at
select min(connected_at)
from core.stores
where account_name = :account_name and marketplace_id = any(cast(:marketplace_ids as text[]));

-- name: gaps
-- What of the listing has not landed yet, from each store's start on; the newest gaps first.
select
    stores.marketplace_id,
    starts.starts_at,
    lower(gaps.gap) as gap_from,
    upper(gaps.gap) as gap_to
from core.stores as stores
left join ops.ingest_coverage as coverage
    on stores.account_name = coverage.account_name and stores.marketplace_id = coverage.marketplace_id
cross join
    lateral (
        -- Amazon's times have milliseconds; anything finer would leave slivers.
        select date_trunc(
            'milliseconds', least(stores.import_since, stores.connected_at - cast(:initial_lookback as interval))
        ) as starts_at
    ) as starts
cross join
    lateral unnest(
        tstzmultirange(tstzrange(starts.starts_at, greatest(starts.starts_at, cast(:horizon as timestamptz))))
        - coalesce(coverage.covered, cast('{}' as tstzmultirange))
    ) as gaps (gap)
where stores.account_name = :account_name and stores.marketplace_id = any(cast(:marketplace_ids as text[]))
order by gap_to desc, stores.marketplace_id;

-- name: last_window
select
    updated_to - updated_from as length,
    state,
    page_count
from ops.ingest_windows
where account_name = :account_name and kind = :kind and backfill_id = :backfill_id and state <> 'open'
order by ingest_window_id desc
limit 1;

-- name: repeated_page
select count(*)
from ops.ingest_pages
where ingest_window_id = :ingest_window_id and page_sha256 = :page_sha256;

-- name: insert_page
insert into ops.ingest_pages (ingest_window_id, page_number, page_sha256, orders_seen, landed_at, request_id)
values (:ingest_window_id, :page_number, :page_sha256, :orders_seen, now(), :request_id);

-- name: advance_window
update ops.ingest_windows
set
    next_token = :next_token,
    next_token_at = case when cast(:next_token as text) is null then null else cast(:next_token_at as timestamptz) end,
    page_count = page_count + 1,
    -- Amazon says which upper bound it used; nothing later is covered.
    updated_to = least(updated_to, coalesce(cast(:updated_before as timestamptz), updated_to)),
    orders_seen = orders_seen + :orders_seen,
    orders_quarantined = orders_quarantined + :orders_quarantined,
    state = case when cast(:next_token as text) is null then 'landed' else 'open' end,
    landed_at = case when cast(:next_token as text) is null then now() end
where ingest_window_id = :ingest_window_id and state = 'open'
returning *;

-- name: cover
-- A backfill lists by creation, which says nothing about the listing by last update.
insert into ops.ingest_coverage as coverage (account_name, marketplace_id, covered, watermark, dag_run_id)
select
    windows.account_name,
    asked.marketplace_id,
    tstzmultirange(tstzrange(windows.updated_from, greatest(windows.updated_from, windows.updated_to), '[]')),
    case when windows.kind = 'live' then windows.updated_to end,
    :dag_run_id
from ops.ingest_windows as windows
cross join lateral unnest(windows.marketplace_ids) as asked (marketplace_id)
where windows.ingest_window_id = :ingest_window_id and windows.kind in ('live', 'history')
on conflict (account_name, marketplace_id) do update
    set
        covered = coverage.covered + excluded.covered,
        watermark = greatest(coverage.watermark, excluded.watermark),
        dag_run_id = excluded.dag_run_id;

-- name: problems
select
    store_name,
    marketplace_id,
    amazon_problem,
    amazon_problem_at,
    amazon_retry_at
from core.stores
where
    account_name = :account_name
    and marketplace_id = any(cast(:marketplace_ids as text[]))
    and amazon_problem is not null
order by store_name;

-- name: note_problem
-- The distance to the next try is the time that the problem has lasted, within bounds: it doubles each time.
update core.stores
set
    amazon_problem = :problem,
    amazon_problem_at = coalesce(amazon_problem_at, :now),
    amazon_retry_at = case
        when :is_suspected then :now
        else cast(:now as timestamptz) + least(
            greatest(cast(:now as timestamptz) - coalesce(amazon_problem_at, :now), cast('5 minutes' as interval)),
            cast('1 hour' as interval)
        )
    end,
    amazon_problem_dag_run_id = :dag_run_id
where account_name = :account_name and marketplace_id = any(cast(:marketplace_ids as text[]));

-- name: clear_problem
update core.stores
set amazon_problem = null, amazon_problem_at = null, amazon_retry_at = null, amazon_problem_dag_run_id = null
where
    account_name = :account_name
    and marketplace_id = any(cast(:marketplace_ids as text[]))
    and amazon_problem is not null;
