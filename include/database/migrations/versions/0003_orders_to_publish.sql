-- The queue from which reporting.recent_orders is kept up to date; include/database/triggers fills it.
create table ops.orders_to_publish (
    queue_id bigint generated always as identity,
    amazon_order_id text not null,
    constraint pk_orders_to_publish primary key (queue_id)
)
-- Rows come and go all day: vacuum by what has changed, not by the size of the table.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create table ops.published_rules (
    rules_sha256 text not null,
    queued_at timestamp with time zone not null,
    constraint pk_published_rules primary key (rules_sha256)
);

alter table reporting.recent_orders
add column pipeline_state text default 'new' not null,
add column is_importable boolean default 'false' not null;
