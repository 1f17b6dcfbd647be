-- name: open_work
-- What is open beside the orders that validation checks: orders that were sent, and changes after creation.
select
    open_rows.amazon_order_id,
    case when open_rows.commerce_order_id is null then 'look_up' else 'finish' end as action,
    open_rows.account_name,
    orders.store_name,
    case
        when open_rows.commerce_order_id is null
            then 'Sent to Commerce before, and the answer was lost; it would be looked up.'
        else 'The Commerce order exists; it would be invoiced.'
    end as reason,
    orders.grand_total_amount as amount,
    orders.currency_code
from ops.open_order_outbox as open_rows
inner join core.orders as orders on open_rows.amazon_order_id = orders.amazon_order_id
where open_rows.state <> 'planned' and coalesce(open_rows.next_attempt_at, :now) <= :now
union all
select
    changes.amazon_order_id,
    changes.kind as action,
    changes.account_name,
    orders.store_name,
    'Commerce order ' || outbox.commerce_order_number || ': ' || coalesce(
        changes.note,
        case changes.kind
            when 'canceled_units'
                then (
                    select
                        'Amazon canceled '
                        || string_agg((item ->> 'canceled_qty') || ' of ' || (item ->> 'seller_sku'), ', ')
                        || '.'
                    from jsonb_array_elements(changes.items) as item
                )
            when 'address' then 'Amazon gave a new delivery address.'
        end
    ) as reason,
    orders.grand_total_amount as amount,
    orders.currency_code
from ops.order_change_outbox as changes
inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
inner join core.orders as orders on changes.amazon_order_id = orders.amazon_order_id
where changes.done_at is null and coalesce(changes.next_attempt_at, :now) <= :now
order by amazon_order_id, action;
