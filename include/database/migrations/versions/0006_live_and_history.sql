-- Two kinds of windows, what they cover per marketplace, marketplaces that Amazon refuses, and who set an order aside.
alter table ops.ingest_windows
add column kind text default 'live' not null,
add column marketplace_ids text[] default '{}' not null,
add constraint ck_ingest_windows_kind check (kind in ('live', 'history'));

update ops.ingest_windows
set
    marketplace_ids = coalesce(string_to_array(query ->> 'marketplaceIds', ','), cast('{}' as text[])),
    -- It may hold months: new orders must not wait for its pages.
    kind = case when state = 'open' then 'history' else 'live' end;

drop index ops.uq_ingest_windows_open;
create unique index uq_ingest_windows_open on ops.ingest_windows (account_name, kind) where state = 'open';
drop index ops.ix_ingest_windows_landed;
create index ix_ingest_windows_account_name on ops.ingest_windows (account_name, kind, ingest_window_id);

create table ops.ingest_coverage (
    account_name text not null,
    marketplace_id text not null,
    covered tstzmultirange not null,
    watermark timestamp with time zone,
    dag_run_id text not null,
    constraint pk_ingest_coverage primary key (account_name, marketplace_id)
);

insert into ops.ingest_coverage (account_name, marketplace_id, covered, watermark, dag_run_id)
select
    windows.account_name,
    asked.marketplace_id,
    range_agg(tstzrange(windows.updated_from, greatest(windows.updated_from, windows.updated_to), '[]')),
    max(windows.updated_to),
    (array_agg(windows.dag_run_id order by windows.updated_to desc))[1]
from ops.ingest_windows as windows
cross join lateral unnest(windows.marketplace_ids) as asked (marketplace_id)
where windows.state = 'landed'
group by windows.account_name, asked.marketplace_id;

alter table core.stores
add column amazon_problem text,
add column amazon_problem_at timestamp with time zone,
add column amazon_retry_at timestamp with time zone,
add column amazon_problem_dag_run_id text;

alter table ops.quarantined_orders
add column quarantined_by text default 'extract_amazon_orders' not null;
