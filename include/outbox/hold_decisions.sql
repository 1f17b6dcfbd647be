-- name: store_names
select store_name
from core.stores
order by store_name;

-- name: open_holds
select
    holds.write_hold_id,
    holds.store_name,
    holds.reason,
    holds.order_ids,
    (
        select count(*)
        from ops.held_orders as held
        where held.write_hold_id = holds.write_hold_id
    ) as waiting_count
from ops.write_holds as holds
where
    holds.approved_at is null
    and holds.kind = :kind
    and (holds.store_name = :store_name or cast(:store_name as text) is null)
order by holds.store_name
for update of holds;
