-- Orders whose delivery address no Commerce order can have.
create table ops.bad_addresses (
    amazon_order_id text not null,
    problem text not null,
    found_at timestamp with time zone not null,
    constraint pk_bad_addresses primary key (amazon_order_id)
);

-- What was a note of the outbox is a warning of its own now.
insert into ops.blocker_episodes (
    amazon_order_id, amazon_item_id, blocker_code, severity, message, remedy, affected_amount, currency_code, opened_at,
    last_seen_at, check_count, dag_run_id
)
select
    outbox.amazon_order_id,
    '',
    'commerce_total_differs',
    'warning',
    outbox.last_error,
    'Find out in Commerce what has changed the total, and refund or correct the difference there.',
    orders.grand_total_amount,
    orders.currency_code,
    coalesce(outbox.linked_at, now()),
    now(),
    1,
    outbox.dag_run_id
from ops.order_outbox as outbox
inner join core.orders as orders on outbox.amazon_order_id = orders.amazon_order_id
where outbox.last_error_code = 'total_differs';

update ops.order_outbox
set last_error_code = null, last_error = null
where last_error_code = 'total_differs';

-- A dry run is no run of the sync.
alter table ops.dag_runs
add column is_dry_run boolean default false not null;

-- Exchange rates, and with which of them an order was converted.
create table reporting.exchange_rates (
    from_currency text not null,
    to_currency text not null,
    rate_date date not null,
    rate numeric(20, 10) not null,
    source text not null,
    loaded_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_exchange_rates primary key (from_currency, to_currency, rate_date),
    constraint ck_exchange_rates_rate check (rate > 0)
);

alter table ops.order_outbox
add column exchange_rate numeric(20, 10),
add column exchange_rate_date date,
add column exchange_rate_source text,
add column converted_amount numeric(20, 4),
add column currency_code text;
