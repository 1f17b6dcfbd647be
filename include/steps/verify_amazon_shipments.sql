-- name: sent
select *
from ops.shipment_outbox
where
    account_name = :account_name
    and state in ('sent', 'in_doubt')
    and sent_at <= :sent_before
    and coalesce(next_attempt_at, :now) <= :now
order by amazon_order_id, cast(package_reference_id as bigint);

-- name: mark
update ops.shipment_outbox
set
    state = :state,
    verify_count = verify_count + 1,
    accepted_at = case when cast(:state as text) = 'accepted' then :now end,
    next_attempt_at = :now + cast(:wait as interval),
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where
    amazon_order_id = :amazon_order_id
    and package_reference_id = :package_reference_id
    and state in ('sent', 'in_doubt');
