drop view if exists reporting.schema_drift;

create view reporting.schema_drift as
select
    path,
    kind,
    code,
    order_count,
    first_seen_at,
    last_seen_at,
    example_order_id
from ops.schema_drift;

comment on view reporting.schema_drift is
'One row per thing in Amazon''s orders that this project does not know: a field, a code, or a breach of the format.';
comment on column reporting.schema_drift.path is 'Where it is in Amazon''s order document.';
comment on column reporting.schema_drift.kind is
'field: a new field; value: a new code; breach: an order that cannot be read.';
comment on column reporting.schema_drift.code is 'The new code, or the rule that is broken; empty for a field.';
comment on column reporting.schema_drift.order_count is 'Versions of orders that had it.';
comment on column reporting.schema_drift.first_seen_at is 'First time, UTC.';
comment on column reporting.schema_drift.last_seen_at is 'Last time in a new version of an order, UTC.';
comment on column reporting.schema_drift.example_order_id is 'An order that had it last; null: without a readable id.';
