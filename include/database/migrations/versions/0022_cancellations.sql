-- Feeds to Amazon, and the cancellations that people ask for.
create table ops.amazon_feeds (
    feed_number bigint generated always as identity not null,
    account_name text not null,
    marketplace_id text not null,
    feed_type text not null,
    state text not null,
    document_id text,
    amazon_feed_id text,
    amazon_status text,
    not_found_count integer default '0' not null,
    failures integer default '0' not null,
    planned_at timestamp with time zone not null,
    sent_at timestamp with time zone,
    next_attempt_at timestamp with time zone,
    submitted_at timestamp with time zone,
    done_at timestamp with time zone,
    last_error text,
    dag_run_id text not null,
    updated_at timestamp with time zone not null,
    constraint pk_amazon_feeds primary key (feed_number),
    constraint ck_amazon_feeds_state check (
        state in ('planned', 'uploaded', 'sent', 'in_doubt', 'submitted', 'done', 'failed')
    ),
    constraint uq_amazon_feeds_account_name_amazon_feed_id unique (account_name, amazon_feed_id)
);

create index ix_amazon_feeds_open on ops.amazon_feeds (account_name) where done_at is null;

create table ops.cancellation_outbox (
    amazon_order_id text not null,
    requested_dag_run_id text not null,
    account_name text not null,
    marketplace_id text not null,
    reason text not null,
    comment text,
    requested_by text not null,
    requested_at timestamp with time zone not null,
    state text not null,
    feed_number bigint,
    message_id bigint,
    attempts integer default '0' not null,
    next_attempt_at timestamp with time zone,
    submitted_at timestamp with time zone,
    reported_at timestamp with time zone,
    done_at timestamp with time zone,
    note text not null,
    dag_run_id text not null,
    updated_at timestamp with time zone not null,
    constraint pk_cancellation_outbox primary key (amazon_order_id, requested_dag_run_id),
    constraint ck_cancellation_outbox_state check (
        state in ('planned', 'submitted', 'accepted', 'done', 'refused', 'unconfirmed')
    ),
    constraint ck_cancellation_outbox_reason check (
        reason in (
            'NO_INVENTORY', 'BUYER_CANCELED', 'SHIPPING_ADDRESS_UNDELIVERABLE', 'CUSTOMER_EXCHANGE', 'PRICING_ERROR'
        )
    ),
    constraint fk_cancellation_outbox_amazon_order_id foreign key (amazon_order_id)
    references core.orders (amazon_order_id),
    constraint fk_cancellation_outbox_feed_number foreign key (feed_number)
    references ops.amazon_feeds (feed_number)
);

create unique index ix_cancellation_outbox_once on ops.cancellation_outbox (amazon_order_id)
where state in ('planned', 'submitted', 'accepted', 'done');

create index ix_cancellation_outbox_open on ops.cancellation_outbox (account_name)
where state in ('planned', 'submitted', 'accepted', 'unconfirmed');

create index ix_cancellation_outbox_feed_number on ops.cancellation_outbox (feed_number);
