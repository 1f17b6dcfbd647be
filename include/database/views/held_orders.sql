drop view if exists reporting.held_writes;
drop view if exists ops.held_orders;

create view ops.held_orders as
select
    holds.write_hold_id,
    holds.kind,
    outbox.amazon_order_id
from ops.write_holds as holds
inner join ops.order_outbox as outbox on holds.store_name = outbox.store_name
where
    holds.approved_at is null
    and holds.kind = 'orders'
    and outbox.state = 'planned'
    and outbox.finished_at is null
    and outbox.needs_attention_at is null
    and (holds.order_ids is null or outbox.amazon_order_id = any(holds.order_ids))
    -- After refusals, the refused orders are tried again, unless somebody has declined.
    and not (
        holds.reason_code = 'refusals'
        and outbox.refusal_cause is not null
        and not exists (
            select from ops.write_hold_decisions as decisions
            where decisions.write_hold_id = holds.write_hold_id and decisions.decided_at >= holds.opened_at
        )
    )
union all
select
    holds.write_hold_id,
    holds.kind,
    changes.amazon_order_id
from ops.write_holds as holds
inner join ops.order_outbox as outbox on holds.store_name = outbox.store_name
inner join ops.order_change_outbox as changes on outbox.amazon_order_id = changes.amazon_order_id
where
    holds.approved_at is null
    and holds.kind = case when outbox.invoiced_at is null then 'cancellations' else 'refunds' end
    and changes.kind = 'canceled_units'
    and changes.done_at is null
    and changes.state in ('planned', 'rejected');

comment on view ops.held_orders is
'Orders with a write that is stopped: their row stays open in its outbox until a person approves it.';
comment on column ops.held_orders.write_hold_id is 'The stop (ops.write_holds).';
comment on column ops.held_orders.kind is 'orders, cancellations or refunds.';
comment on column ops.held_orders.amazon_order_id is 'Amazon''s order id.';
