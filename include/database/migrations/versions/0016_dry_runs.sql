-- What a dry run would have done with each order.
create table ops.dry_run_results (
    dag_run_id text not null,
    amazon_order_id text not null,
    action text not null,
    account_name text not null,
    store_name text,
    reason text not null,
    blocker_codes text[] default '{}' not null,
    amount numeric(20, 4),
    currency_code text,
    found_at timestamp with time zone not null,
    constraint pk_dry_run_results primary key (dag_run_id, amazon_order_id, action)
);

create index ix_dry_run_results_found_at on ops.dry_run_results (found_at);
