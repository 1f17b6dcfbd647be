-- Orders whose automatic attempts are used up, and one spelling of `canceled`.
alter table core.orders drop constraint ck_orders_pipeline_state;
alter table core.orders add constraint ck_orders_pipeline_state check (
    pipeline_state in (
        'new', 'waiting', 'not_imported', 'blocked', 'ready', 'in_doubt', 'rejected', 'needs_attention', 'created',
        'completed', 'canceled'
    )
);
alter table core.orders alter column pipeline_state set default 'new';

alter table ops.order_outbox drop constraint ck_order_outbox_state;
update ops.order_outbox set state = 'canceled'
where state = 'cancelled';
alter table ops.order_outbox add constraint ck_order_outbox_state check (
    state in ('planned', 'sent', 'in_doubt', 'created', 'adopted', 'rejected', 'canceled')
);
alter table ops.order_outbox add column failures integer default 0 not null;
alter table ops.order_outbox add column needs_attention_at timestamp with time zone;
drop index ops.ix_order_outbox_open;
create index ix_order_outbox_open on ops.order_outbox (account_name, commerce_connection)
where finished_at is null
and needs_attention_at is null
and state in ('planned', 'sent', 'in_doubt', 'created', 'adopted');

update ops.blocker_episodes set closed_by_code = 'canceled'
where closed_by_code = 'cancelled';

alter table core.stores add column commerce_problem text;
alter table core.stores add column commerce_problem_dag_run_id text;

create table ops.order_checks (
    amazon_order_id text not null,
    rule_group text not null,
    facts_sha256 text not null,
    findings jsonb not null,
    checked_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_order_checks primary key (amazon_order_id, rule_group),
    constraint fk_order_checks_amazon_order_id
    foreign key (amazon_order_id) references core.orders (amazon_order_id)
);

alter table ops.shipment_outbox drop column request_sha256;
alter table ops.shipment_outbox add column failures integer default 0 not null;
update ops.shipment_outbox
set
    items = coalesce(
        (
            select
                jsonb_agg(
                    jsonb_build_object('amazon_item_id', entry.item ->> 'orderItemId', 'qty', entry.item -> 'quantity')
                    order by entry.position
                )
            from jsonb_array_elements(shipment_outbox.items) with ordinality as entry (item, position)
        ),
        cast('[]' as jsonb)
    );
