drop view if exists reporting.held_writes;

create view reporting.held_writes as
select
    holds.store_name,
    holds.kind,
    holds.reason_code,
    holds.reason,
    holds.order_ids is null as is_whole_store,
    (
        select count(*)
        from ops.held_orders as held
        where held.write_hold_id = holds.write_hold_id
    ) as waiting_count,
    holds.opened_at,
    last_decision.decision,
    last_decision.decided_by,
    last_decision.decided_at
from ops.write_holds as holds
left join
    lateral (
        select
            decisions.decision,
            decisions.decided_by,
            decisions.decided_at
        from ops.write_hold_decisions as decisions
        where decisions.write_hold_id = holds.write_hold_id and decisions.decided_at >= holds.opened_at
        order by decisions.decided_at desc
        limit 1
    ) as last_decision
    on true
where
    holds.approved_at is null
    -- Single orders that are canceled or left out meanwhile need no decision any more.
    and (
        holds.order_ids is null
        or exists (
            select from ops.held_orders as held
            where held.write_hold_id = holds.write_hold_id
        )
    );

comment on view reporting.held_writes is
'One row per store and kind of write to Commerce that is stopped until a person decides: why, and what waits.';
comment on column reporting.held_writes.store_name is 'Store (stores.yaml).';
comment on column reporting.held_writes.kind is
'orders (creating Commerce orders), cancellations (canceling them) or refunds (credit memos).';
comment on column reporting.held_writes.reason_code is 'blocked_rate, price, volume, refusals or totals.';
comment on column reporting.held_writes.reason is 'Why, with the numbers.';
comment on column reporting.held_writes.is_whole_store is 'All such writes of the store; false: single orders only.';
comment on column reporting.held_writes.waiting_count is 'Orders that wait for the decision.';
comment on column reporting.held_writes.opened_at is 'Since when, UTC.';
comment on column reporting.held_writes.decision is 'decline: a person, or the time-out, left it stopped; null: none.';
comment on column reporting.held_writes.decided_by is 'Airflow user who declined; time-out: nobody decided in time.';
comment on column reporting.held_writes.decided_at is 'When, UTC.';
