-- name: due
-- One whose attempt never came to an end stays due, and the others come first the next time.
select amazon_order_id
from ops.quarantined_orders
where
    account_name = :account_name
    and released_at is null
    and quarantined_by = 'extract_amazon_orders'
    and amazon_order_id is not null
group by amazon_order_id
having
    bool_or(contract_sha256 is distinct from :contract_sha256)
    or coalesce(max(next_read_at), :now) <= :now
order by max(next_read_at) nulls first, amazon_order_id
limit :most;

-- name: note_read
-- An hour, two, four and so on, up to a week.
update ops.quarantined_orders as quarantined
set
    contract_sha256 = :contract_sha256,
    read_count = before.read_count + 1,
    next_read_at
    = cast(:now as timestamptz)
    + least(interval '1 hour' * power(2, least(before.read_count + 1, 10)), interval '7 days')
from (
    select max(known.read_count) as read_count
    from ops.quarantined_orders as known
    where known.account_name = :account_name and known.amazon_order_id = :order_id and known.released_at is null
) as before
where
    quarantined.account_name = :account_name
    and quarantined.amazon_order_id = :order_id
    and quarantined.released_at is null;
