-- Writes to Commerce that are stopped until a person decides, and what is normal for each store.
create table ops.write_holds (
    write_hold_id bigint generated always as identity,
    store_name text not null,
    account_name text not null,
    kind text not null,
    reason_code text not null,
    reason text not null,
    seen_value numeric(20, 4) not null,
    limit_value numeric(20, 4) not null,
    order_ids text[],
    opened_at timestamp with time zone not null,
    approved_at timestamp with time zone,
    approved_until timestamp with time zone,
    dag_run_id text not null,
    constraint pk_write_holds primary key (write_hold_id),
    constraint fk_write_holds_store_name foreign key (store_name) references core.stores (store_name)
    on update cascade,
    constraint ck_write_holds_kind check (kind in ('orders', 'cancellations', 'refunds')),
    constraint ck_write_holds_reason_code check (
        reason_code in ('blocked_rate', 'price', 'volume', 'refusals', 'totals')
    )
);

create unique index uq_write_holds_open on ops.write_holds (store_name, kind) where approved_at is null;
create index ix_write_holds_store_name on ops.write_holds (store_name, kind, approved_until);

create table ops.write_hold_decisions (
    write_hold_id bigint not null,
    dag_run_id text not null,
    decision text not null,
    comment text,
    decided_by text not null,
    decided_at timestamp with time zone not null,
    constraint pk_write_hold_decisions primary key (write_hold_id, dag_run_id),
    constraint fk_write_hold_decisions_write_hold_id foreign key (write_hold_id)
    references ops.write_holds (write_hold_id),
    constraint ck_write_hold_decisions_decision check (decision in ('approve', 'decline'))
);

create table ops.store_norms (
    store_name text not null,
    order_count integer default 0 not null,
    day_count integer default 0 not null,
    busiest_day_count integer default 0 not null,
    low_amount numeric(20, 4),
    median_amount numeric(20, 4),
    high_amount numeric(20, 4),
    currency_code text,
    checked_count integer default 0 not null,
    blocked_count integer default 0 not null,
    busiest_cancellation_count integer default 0 not null,
    busiest_refund_count integer default 0 not null,
    computed_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_store_norms primary key (store_name),
    constraint fk_store_norms_store_name foreign key (store_name) references core.stores (store_name)
    on update cascade on delete cascade
);

alter table ops.order_outbox
add column has_other_total boolean default false not null;

create index ix_order_outbox_refused on ops.order_outbox (store_name, updated_at) where state = 'rejected';
create index ix_order_outbox_linked_at on ops.order_outbox (store_name, linked_at) where linked_at is not null;
create index ix_order_change_outbox_planned_at on ops.order_change_outbox (planned_at) where kind = 'canceled_units';
