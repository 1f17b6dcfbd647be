-- name: store_rates
insert into reporting.exchange_rates as known (
    from_currency, to_currency, rate_date, rate, source, loaded_at, dag_run_id
)
select
    from_currency,
    to_currency,
    rate_date,
    rate,
    source,
    :now,
    :dag_run_id
from
    unnest(
        cast(:from_currency as text[]),
        cast(:to_currency as text[]),
        cast(:rate_date as date[]),
        cast(:rate as numeric[]),
        cast(:source as text[])
    ) as given (from_currency, to_currency, rate_date, rate, source)
order by from_currency, to_currency, rate_date
on conflict (from_currency, to_currency, rate_date) do update
    set
        rate = excluded.rate,
        source = excluded.source,
        loaded_at = excluded.loaded_at,
        dag_run_id = excluded.dag_run_id
    where (known.rate, known.source) is distinct from (excluded.rate, excluded.source);
