drop view if exists reporting.backfills;

create view reporting.backfills as
with progress as (
    select
        backfills.*,
        coalesce(asked.order_count, 0) as asked_count,
        coalesce(asked.done_count, 0) as done_count,
        coalesce(asked.failed_count, 0) as failed_count,
        case
            when backfills.finished_at is not null then 1
            when backfills.created_from is null
                then cast(coalesce(asked.done_count, 0) as numeric) / greatest(coalesce(asked.order_count, 0), 1)
            when backfills.created_to = backfills.created_from then 0
            else
                extract(epoch from backfills.created_to - backfills.read_from)
                / extract(epoch from backfills.created_to - backfills.created_from)
        end as share
    from ops.backfills as backfills
    left join
        lateral (
            select
                count(*) as order_count,
                count(orders.done_at) as done_count,
                count(*) filter (where orders.done_at is not null and orders.problem is not null) as failed_count
            from ops.backfill_orders as orders
            where orders.backfill_id = backfills.backfill_id
        ) as asked
        on true
)

select
    backfill_id,
    account_name,
    created_from,
    created_to,
    create_in_commerce,
    asked_count as asked_order_count,
    failed_count as failed_order_count,
    window_count,
    page_count,
    order_count,
    quarantined_count,
    round(100 * share, 1) as read_percent,
    started_at,
    progressed_at,
    finished_at,
    case
        when finished_at is not null then 0
        when share > 0
            then round(extract(epoch from progressed_at - started_at) * (1 - share) / share)
    end as seconds_left
from progress;

comment on view reporting.backfills is
'One row per stretch of the past, or list of orders, that people had fetched from Amazon: how far it has come.';
comment on column reporting.backfills.backfill_id is 'One backfill.';
comment on column reporting.backfills.account_name is 'Account (stores.yaml).';
comment on column reporting.backfills.created_from is 'Orders created from this moment on, UTC; null for a list.';
comment on column reporting.backfills.created_to is 'Until this moment, UTC; null for a list of orders.';
comment on column reporting.backfills.create_in_commerce is 'Whether Commerce orders are created for them.';
comment on column reporting.backfills.asked_order_count is 'Orders that were asked for by id; 0 for a stretch of time.';
comment on column reporting.backfills.failed_order_count is
'Of these, orders that could not be read; ops.backfill_orders says why.';
comment on column reporting.backfills.window_count is 'Windows of the listing that have been read.';
comment on column reporting.backfills.page_count is 'Pages that have been read; of a list of orders: orders.';
comment on column reporting.backfills.order_count is 'Orders on these pages.';
comment on column reporting.backfills.quarantined_count is 'Of these, orders that cannot be read.';
comment on column reporting.backfills.read_percent is 'Share of the stretch, or of the list, that has been read.';
comment on column reporting.backfills.started_at is 'When it began, UTC.';
comment on column reporting.backfills.progressed_at is 'When its last page was read, UTC.';
comment on column reporting.backfills.finished_at is 'When it was over, UTC; null: it goes on.';
comment on column reporting.backfills.seconds_left is 'Time left at the rate so far; null: nothing is read yet.';
