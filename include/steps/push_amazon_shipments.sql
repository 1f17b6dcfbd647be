-- name: planned
select *
from ops.shipment_outbox
where account_name = :account_name and state = 'planned' and coalesce(next_attempt_at, :now) <= :now
order by shipped_at, amazon_order_id, cast(package_reference_id as bigint);

-- name: mark_sending
-- Committed before the call: until Amazon's answer is seen, the outcome is unknown.
update ops.shipment_outbox
set
    state = 'in_doubt',
    sent_at = :now,
    attempts = attempts + 1,
    verify_count = 0,
    next_attempt_at = null,
    last_error_code = 'interrupted',
    last_error = 'The task ended before Amazon''s answer was seen.',
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and package_reference_id = :package_reference_id and state = 'planned'
returning package_reference_id;

-- name: mark
update ops.shipment_outbox
set
    state = :state,
    last_error_code = :code,
    last_error = :error,
    dag_run_id = :dag_run_id,
    updated_at = :now
where amazon_order_id = :amazon_order_id and package_reference_id = :package_reference_id and state = 'in_doubt';
