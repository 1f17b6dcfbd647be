-- name: find
-- For each order the rate of its day, or the newest one before it that is not too old.
select
    wanted.amazon_order_id,
    rates.from_currency,
    rates.to_currency,
    rates.rate_date,
    rates.rate,
    rates.source
from
    unnest(
        cast(:amazon_order_ids as text[]),
        cast(:from_currencies as text[]),
        cast(:to_currencies as text[]),
        cast(:days as date[])
    ) as wanted (amazon_order_id, from_currency, to_currency, day)
cross join
    lateral (
        select exchange_rates.*
        from reporting.exchange_rates as exchange_rates
        where
            exchange_rates.from_currency = wanted.from_currency
            and exchange_rates.to_currency = wanted.to_currency
            and exchange_rates.rate_date between wanted.day - cast(:most_days as integer) and wanted.day
        order by exchange_rates.rate_date desc
        limit 1
    ) as rates;
