drop view if exists reporting.api_quota;

create view reporting.api_quota as
with counted as (
    select
        system_code,
        connection,
        operation,
        count(*) filter (where called_at > now() - interval '1 hour') as last_hour_call_count,
        count(*) filter (where called_at > now() - interval '1 hour' and is_throttled) as last_hour_throttled_count,
        count(*) as last_day_call_count,
        count(*) filter (where is_throttled) as last_day_throttled_count
    from ops.api_calls
    where called_at > now() - interval '24 hours'
    group by system_code, connection, operation
    union all
    -- Only where calls are kept for less than a day; a call is in one of the two tables.
    select
        system_code,
        connection,
        operation,
        coalesce(sum(call_count) filter (where hour_at > now() - interval '1 hour'), 0),
        coalesce(sum(throttled_count) filter (where hour_at > now() - interval '1 hour'), 0),
        sum(call_count),
        sum(throttled_count)
    from ops.api_calls_hourly
    where hour_at > now() - interval '24 hours'
    group by system_code, connection, operation
),

calls as (
    select
        system_code,
        connection,
        operation,
        cast(sum(last_hour_call_count) as bigint) as last_hour_call_count,
        cast(sum(last_hour_throttled_count) as bigint) as last_hour_throttled_count,
        cast(sum(last_day_call_count) as bigint) as last_day_call_count,
        cast(sum(last_day_throttled_count) as bigint) as last_day_throttled_count
    from counted
    group by system_code, connection, operation
),

accounts as (
    select
        account_name,
        min(amazon_connection) as connection
    from core.stores
    where is_connected
    group by account_name
),

-- Of the application that called last: the client id of an account may change. 0.9 is the share of Amazon's rate that
-- is used (USED_SHARE in include/adapters/amazon/rate_limits.py).
buckets as (
    select distinct on (account_name, operation)
        account_name,
        operation,
        burst,
        rate_per_second * 0.9 as refill,
        least(
            burst,
            tokens + greatest(extract(epoch from now() - refilled_at), 0) * rate_per_second * 0.9
        ) as tokens,
        case when blocked_until > now() then blocked_until end as blocked_until
    from ops.rate_limits
    order by account_name, operation, refilled_at desc
),

quotas as (
    select
        buckets.*,
        accounts.connection
    from buckets
    left join accounts on buckets.account_name = accounts.account_name
),

-- What was called, and what can be called.
operations as (
    select
        calls.system_code,
        accounts.account_name,
        calls.connection,
        calls.operation
    from calls
    left join accounts on calls.system_code = 'amazon' and calls.connection = accounts.connection
    union
    select
        'amazon',
        account_name,
        connection,
        operation
    from quotas
)

select
    operations.system_code,
    operations.account_name,
    operations.connection,
    operations.operation,
    coalesce(calls.last_hour_call_count, 0) as last_hour_call_count,
    coalesce(calls.last_hour_throttled_count, 0) as last_hour_throttled_count,
    coalesce(calls.last_day_call_count, 0) as last_day_call_count,
    coalesce(calls.last_day_throttled_count, 0) as last_day_throttled_count,
    round(quotas.refill * 3600, 1) as hourly_limit_count,
    round(quotas.burst, 1) as burst_count,
    case when quotas.blocked_until is null then floor(quotas.tokens) else 0 end as left_count,
    quotas.blocked_until,
    round(
        greatest(
            0,
            (1 - quotas.tokens) / nullif(quotas.refill, 0),
            extract(epoch from quotas.blocked_until - now())
        ), 1
    ) as next_call_seconds,
    round(
        greatest(
            0,
            (quotas.burst - quotas.tokens) / nullif(quotas.refill, 0),
            extract(epoch from quotas.blocked_until - now())
        ), 1
    ) as full_seconds
from operations
left join calls
    on
        operations.system_code = calls.system_code
        and operations.connection = calls.connection
        and operations.operation = calls.operation
left join quotas
    on
        operations.system_code = 'amazon'
        and operations.account_name = quotas.account_name
        and operations.operation = quotas.operation;

comment on view reporting.api_quota is
'Requests of the last hour and day to Amazon and Commerce, and what is left of Amazon''s quota, per account and '
'operation.';
comment on column reporting.api_quota.system_code is 'amazon or commerce.';
comment on column reporting.api_quota.account_name is 'Account on Amazon; null: Commerce.';
comment on column reporting.api_quota.connection is 'Airflow connection that was used.';
comment on column reporting.api_quota.operation is 'Operation of that system''s API.';
comment on column reporting.api_quota.last_hour_call_count is 'Requests of the last 60 minutes.';
comment on column reporting.api_quota.last_hour_throttled_count is 'Those of them that were answered with 429.';
comment on column reporting.api_quota.last_day_call_count is 'Requests of the last 24 hours.';
comment on column reporting.api_quota.last_day_throttled_count is 'Those of them that were answered with 429.';
comment on column reporting.api_quota.hourly_limit_count is
'Requests that the quota allows in an hour in the long run; null: no quota is known.';
comment on column reporting.api_quota.burst_count is 'Requests that a full quota allows at once.';
comment on column reporting.api_quota.left_count is 'Requests that are allowed at this moment.';
comment on column reporting.api_quota.blocked_until is 'Amazon throttled us: no request before, UTC; null: it did not.';
comment on column reporting.api_quota.next_call_seconds is 'Seconds until the next request is allowed; 0: now.';
comment on column reporting.api_quota.full_seconds is
'Seconds until the quota has recovered completely, if nothing is requested meanwhile; 0: it is full.';
