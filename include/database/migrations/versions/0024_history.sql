-- Orders that people have fetched from Amazon's past, beside the live ones.
alter table ops.ingest_windows
add column backfill_id bigint default '0' not null,
drop constraint ck_ingest_windows_kind,
add constraint ck_ingest_windows_kind check (kind in ('live', 'history', 'backfill', 'single'));

drop index ops.uq_ingest_windows_open;
create unique index uq_ingest_windows_open on ops.ingest_windows (account_name, kind, backfill_id)
where state = 'open';

create table ops.backfills (
    backfill_id bigint generated always as identity,
    account_name text not null,
    request_sha256 text not null,
    marketplace_ids text[] not null,
    created_from timestamp with time zone,
    created_to timestamp with time zone,
    read_from timestamp with time zone,
    create_in_commerce boolean default false not null,
    window_count integer default 0 not null,
    page_count integer default 0 not null,
    order_count integer default 0 not null,
    quarantined_count integer default 0 not null,
    failures integer default 0 not null,
    started_at timestamp with time zone not null,
    progressed_at timestamp with time zone,
    finished_at timestamp with time zone,
    dag_run_id text not null,
    constraint pk_backfills primary key (backfill_id),
    constraint ck_backfills_range check ((created_from is null) = (created_to is null))
);

create unique index uq_backfills_open on ops.backfills (account_name, request_sha256) where finished_at is null;
create index ix_backfills_dag_run_id on ops.backfills (dag_run_id);

create table ops.backfill_orders (
    backfill_id bigint not null,
    amazon_order_id text not null,
    attempts integer default 0 not null,
    problem text,
    done_at timestamp with time zone,
    constraint pk_backfill_orders primary key (backfill_id, amazon_order_id),
    constraint fk_backfill_orders_backfill_id foreign key (backfill_id) references ops.backfills (backfill_id)
);

create index ix_backfill_orders_open on ops.backfill_orders (backfill_id, amazon_order_id) where done_at is null;

create table ops.backfilled_orders (
    amazon_order_id text not null,
    account_name text not null,
    create_in_commerce boolean default false not null,
    is_lifted boolean default false not null,
    is_settled boolean default false not null,
    backfill_id bigint not null,
    marked_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_backfilled_orders primary key (amazon_order_id)
);

create index ix_backfilled_orders_unsettled on ops.backfilled_orders (amazon_order_id) where not is_settled;

create table ops.replay_differences (
    dag_run_id text not null,
    amazon_order_id text not null,
    amazon_item_id text not null,
    column_name text not null,
    before text,
    after text,
    found_at timestamp with time zone not null,
    written_at timestamp with time zone,
    constraint pk_replay_differences primary key (dag_run_id, amazon_order_id, amazon_item_id, column_name)
);

create index ix_replay_differences_found_at on ops.replay_differences (found_at);

-- Documents that are quarantined already are read again by the next run.
alter table ops.quarantined_orders
add column contract_sha256 text,
add column read_count integer default 0 not null,
add column next_read_at timestamp with time zone;

create index ix_quarantined_orders_open on ops.quarantined_orders (account_name, amazon_order_id)
where released_at is null;

create table ops.schema_drift (
    path text not null,
    kind text not null,
    code text not null,
    order_count integer default 0 not null,
    first_seen_at timestamp with time zone not null,
    last_seen_at timestamp with time zone not null,
    example_order_id text,
    dag_run_id text not null,
    constraint pk_schema_drift primary key (path, kind, code),
    constraint ck_schema_drift_kind check (kind in ('field', 'value', 'breach'))
);
