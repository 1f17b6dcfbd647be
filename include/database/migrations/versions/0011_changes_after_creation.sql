-- What Amazon changes after a Commerce order was created is carried out in Commerce.
create table ops.order_change_outbox (
    amazon_order_id text not null,
    kind text not null,
    payload_sha256 text not null,
    account_name text not null,
    commerce_connection text not null,
    items jsonb default '[]' not null,
    state text not null,
    attempts integer default 0 not null,
    refusals integer default 0 not null,
    failures integer default 0 not null,
    not_found_count integer default 0 not null,
    planned_at timestamp with time zone not null,
    sent_at timestamp with time zone,
    next_attempt_at timestamp with time zone,
    done_at timestamp with time zone,
    note text,
    last_error_code text,
    dag_run_id text not null,
    updated_at timestamp with time zone not null,
    constraint pk_order_change_outbox primary key (amazon_order_id, kind, payload_sha256),
    constraint ck_order_change_outbox_kind check (kind in ('canceled_units')),
    constraint ck_order_change_outbox_state check (
        state in ('planned', 'sent', 'in_doubt', 'done', 'rejected', 'skipped')
    ),
    constraint fk_order_change_outbox_amazon_order_id foreign key (amazon_order_id)
    references core.orders (amazon_order_id)
);

create index ix_order_change_outbox_open on ops.order_change_outbox (account_name) where done_at is null;

alter table core.order_items
add column canceled_qty integer default 0 not null,
add column commerce_qty integer,
-- A column rather than an expression in the index: the planner then has figures for it, and knows that hardly any line
-- has units to withdraw.
add column has_units_to_withdraw boolean not null
generated always as (coalesce(commerce_qty > ordered_qty - canceled_qty, false)) stored;

-- What Amazon canceled before is left to people, who were asked to see to it in Commerce.
update core.order_items
set commerce_qty = ordered_qty
where commerce_item_id is not null;

create index ix_order_items_to_withdraw on core.order_items (amazon_order_id, amazon_item_id)
where has_units_to_withdraw;
