-- People try an order again, correct it, leave it out, or take that back (DAG repair_amazon_order).
alter table core.orders
add column sku_map jsonb,
add column skip_reason text;

create table pii.order_corrections (
    amazon_order_id text not null,
    address_encrypted bytea not null,
    corrected_at timestamp with time zone not null,
    constraint pk_order_corrections primary key (amazon_order_id)
);

create table ops.order_repairs (
    amazon_order_id text not null,
    dag_run_id text not null,
    action text not null,
    address_fields text[] default '{}' not null,
    sku_map jsonb default '{}' not null,
    comment text not null,
    repaired_by text not null,
    repaired_at timestamp with time zone not null,
    outcome text not null,
    constraint pk_order_repairs primary key (amazon_order_id, dag_run_id),
    constraint ck_order_repairs_action check (action in ('retry', 'correct', 'skip', 'release')),
    constraint fk_order_repairs_amazon_order_id foreign key (amazon_order_id)
    references core.orders (amazon_order_id)
);
