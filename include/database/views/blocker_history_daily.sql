drop view if exists reporting.blocker_history_daily;

create view reporting.blocker_history_daily as
select
    days.history_date,
    episodes.store_name,
    episodes.blocker_code,
    episodes.opened_count,
    episodes.closed_count,
    episodes.open_at_end_count,
    episodes.mean_hours_to_resolve,
    episodes.p90_hours_to_resolve,
    episodes.loaded_at
from (
    select cast(series.day_at as date) as history_date
    from (
        select
            cast(min(opened_on) as timestamp) as first_at,
            -- No marketplace is further ahead of UTC.
            cast(now() at time zone 'UTC' + interval '14 hours' as timestamp) as last_at
        from reporting.fct_order_blockers
    ) as span
    cross join lateral generate_series(span.first_at, span.last_at, interval '1 day') as series (day_at)
) as days
cross join lateral (
    select
        open_then.store_name,
        open_then.blocker_code,
        count(*) filter (where open_then.opened_on = days.history_date) as opened_count,
        count(*) filter (where open_then.closed_on = days.history_date) as closed_count,
        count(*) filter (where coalesce(open_then.closed_on > days.history_date, true)) as open_at_end_count,
        round(
            cast(avg(open_then.hours) filter (where open_then.closed_on = days.history_date) as numeric), 2
        ) as mean_hours_to_resolve,
        round(
            cast(
                percentile_cont(0.9) within group (order by open_then.hours)
                filter (where open_then.closed_on = days.history_date)
                as numeric
            ),
            2
        ) as p90_hours_to_resolve,
        max(open_then.loaded_at) as loaded_at
    from (
        select
            blockers.*,
            extract(epoch from blockers.closed_at - blockers.opened_at) / 3600 as hours
        from reporting.fct_order_blockers as blockers
        where
            daterange(blockers.opened_on, blockers.closed_on, '[]') @> days.history_date
            and days.history_date <= cast(now() at time zone blockers.time_zone as date)
    ) as open_then
    group by open_then.store_name, open_then.blocker_code
) as episodes;

comment on view reporting.blocker_history_daily is
'Blockers and findings per day, store and kind: how many began, ended and were left, and how long they lasted.';
comment on column reporting.blocker_history_daily.history_date is
'Day in the marketplace''s time zone; UTC where there is none. Only days on which one was open.';
comment on column reporting.blocker_history_daily.store_name is 'Store, as in fct_orders.';
comment on column reporting.blocker_history_daily.blocker_code is 'Kind of blocker.';
comment on column reporting.blocker_history_daily.opened_count is 'Episodes that began on this day.';
comment on column reporting.blocker_history_daily.closed_count is
'Episodes that ended on this day, for whatever reason.';
comment on column reporting.blocker_history_daily.open_at_end_count is
'Episodes that were still open when the day ended; today: that are open.';
comment on column reporting.blocker_history_daily.mean_hours_to_resolve is
'Mean hours from beginning to end of the episodes that ended on this day; null: none did.';
comment on column reporting.blocker_history_daily.p90_hours_to_resolve is
'Nine of ten of these lasted at most so many hours.';
comment on column reporting.blocker_history_daily.loaded_at is
'When the newest of the rows behind it was written, UTC.';
