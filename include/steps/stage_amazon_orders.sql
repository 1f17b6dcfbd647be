-- name: orders_to_complete
-- Shipped on Amazon and linked, and both were seen before this run.
select
    orders.amazon_order_id,
    'completed' as to_code,
    'Shipped on Amazon; the Commerce order is linked.' as reason
from core.orders as orders
inner join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where
    orders.pipeline_state = 'created'
    and orders.amazon_status = 'SHIPPED'
    and outbox.finished_at is not null
    and orders.status_dag_run_id <> :dag_run_id
    and outbox.linked_dag_run_id <> :dag_run_id;

-- name: claim_pages
create temporary table claimed_pages on commit drop as
select ingest_window_id, page_number
from ops.ingest_pages
where staged_at is null;

-- name: drop_collected
-- The next part of the same transaction collects anew.
drop table versions, newest, newest_items, status_changes, changed_orders;

-- name: release_quarantined
-- What was set aside here and is staged now, or is replaced by a newer version.
update ops.quarantined_orders as quarantined
set released_at = :now
from newest
where
    quarantined.amazon_order_id = newest.amazon_order_id
    and quarantined.quarantined_by = 'stage_amazon_orders'
    and quarantined.released_at is null
    and not exists (
        select from raw.amazon_orders as landed
        where
            landed.amazon_order_id = quarantined.amazon_order_id
            and landed.payload_sha256 = quarantined.payload_sha256
            and landed.last_updated_at > newest.amazon_last_updated_at
    );

-- name: quarantine_orders
-- The newest of each order's claimed versions stands for all of them.
insert into ops.quarantined_orders (
    payload_sha256, account_name, amazon_order_id, findings, remedy, quarantined_by, seen_count, first_seen_at,
    last_seen_at, dag_run_id
)
select distinct on (landed.amazon_order_id)
    landed.payload_sha256,
    landed.account_name,
    landed.amazon_order_id,
    array[failed.finding],
    :remedy,
    'stage_amazon_orders',
    1,
    :now,
    :now,
    :dag_run_id
from unnest(cast(:order_ids as text[]), cast(:findings as text[])) as failed (amazon_order_id, finding)
inner join raw.amazon_orders as landed on failed.amazon_order_id = landed.amazon_order_id
inner join claimed_pages
    on
        landed.ingest_window_id = claimed_pages.ingest_window_id
        and landed.page_number = claimed_pages.page_number
order by landed.amazon_order_id, landed.last_updated_at desc, landed.amazon_order_version_id desc
on conflict (payload_sha256) do update
    set
        findings = excluded.findings,
        remedy = excluded.remedy,
        quarantined_by = excluded.quarantined_by,
        seen_count = quarantined_orders.seen_count + 1,
        last_seen_at = excluded.last_seen_at,
        released_at = null,
        dag_run_id = excluded.dag_run_id;

-- name: collect_status_changes
-- Every change between the known version and the newest one, in Amazon's order of time. Kept until the orders exist.
create temporary table status_changes on commit drop as
select
    amazon_order_id,
    amazon_last_updated_at as changed_at,
    amazon_status as to_code,
    from_code
from (
    select
        versions.amazon_order_id,
        versions.amazon_last_updated_at,
        versions.amazon_status,
        coalesce(
            lag(versions.amazon_status) over (
                partition by versions.amazon_order_id
                order by versions.amazon_last_updated_at, versions.amazon_order_version_id
            ),
            orders.amazon_status
        ) as from_code
    from versions
    left join core.orders as orders on versions.amazon_order_id = orders.amazon_order_id
    where orders.amazon_order_id is null or versions.amazon_last_updated_at >= orders.amazon_last_updated_at
) as sequenced
where from_code is distinct from amazon_status;

-- name: collect_changed_orders
create temporary table changed_orders on commit drop as
with totals as (
    select
        amazon_order_id,
        count(*) as item_count,
        sum(ordered_qty) as ordered_qty,
        sum(fulfilled_qty) as fulfilled_qty,
        case when bool_and(line_total_amount is not null) then sum(line_total_amount) end as line_total_amount,
        min(currency_code) as currency_code,
        bool_or(is_buyer_cancel_requested) as is_buyer_cancel_requested
    from newest_items
    group by amazon_order_id
)

select
    newest.amazon_order_id,
    newest.account_name,
    newest.marketplace_id,
    stores.store_name,
    newest.amazon_status,
    newest.fulfilled_by,
    newest.service_level,
    newest.purchased_at,
    newest.amazon_last_updated_at,
    newest.ship_by_at,
    newest.deliver_by_at,
    newest.grand_total_amount,
    totals.line_total_amount,
    coalesce(newest.currency_code, totals.currency_code) as currency_code,
    -- Each line, and the total, is rounded to a coin: none is off by more than half of one.
    coalesce(
        abs(newest.grand_total_amount - totals.line_total_amount - newest.delivery_tip_amount)
        > coins.coin * (totals.item_count + 1) / 2,
        false
    ) as has_total_mismatch,
    newest.programs,
    newest.replaced_amazon_order_id,
    totals.item_count,
    totals.ordered_qty,
    totals.fulfilled_qty,
    totals.is_buyer_cancel_requested,
    newest.payload_sha256
from newest
inner join totals on newest.amazon_order_id = totals.amazon_order_id
left join core.stores as stores
    on newest.account_name = stores.account_name and newest.marketplace_id = stores.marketplace_id
left join core.orders as known on newest.amazon_order_id = known.amazon_order_id
cross join
    lateral (
        select case
            when newest.currency_code = any(cast(:currencies_without_cents as text[])) then 1
            else 0.01
        end as coin
    ) as coins
where
    known.amazon_order_id is null
    or known.amazon_last_updated_at < newest.amazon_last_updated_at
    or (
        known.amazon_last_updated_at = newest.amazon_last_updated_at
        and (known.payload_sha256 <> newest.payload_sha256 or :is_replay)
    );

-- name: write_orders
insert into core.orders as orders (
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, service_level,
    purchased_at, amazon_last_updated_at, ship_by_at, deliver_by_at, grand_total_amount, line_total_amount,
    currency_code, has_total_mismatch, programs, replaced_amazon_order_id, item_count, ordered_qty, fulfilled_qty,
    is_buyer_cancel_requested, payload_sha256, status_dag_run_id, dag_run_id, first_seen_at, loaded_at
)
select
    amazon_order_id, account_name, marketplace_id, store_name, amazon_status, fulfilled_by, service_level,
    purchased_at, amazon_last_updated_at, ship_by_at, deliver_by_at, grand_total_amount, line_total_amount,
    currency_code, has_total_mismatch, programs, replaced_amazon_order_id, item_count, ordered_qty, fulfilled_qty,
    is_buyer_cancel_requested, payload_sha256, :dag_run_id, :dag_run_id, :now, :now
from changed_orders
order by amazon_order_id
on conflict (amazon_order_id) do update
    set
        store_name = excluded.store_name,
        marketplace_id = excluded.marketplace_id,
        status_dag_run_id = case
            when orders.amazon_status = excluded.amazon_status then orders.status_dag_run_id
            else excluded.status_dag_run_id
        end,
        amazon_status = excluded.amazon_status,
        fulfilled_by = excluded.fulfilled_by,
        service_level = excluded.service_level,
        purchased_at = excluded.purchased_at,
        amazon_last_updated_at = excluded.amazon_last_updated_at,
        ship_by_at = excluded.ship_by_at,
        deliver_by_at = excluded.deliver_by_at,
        grand_total_amount = excluded.grand_total_amount,
        line_total_amount = excluded.line_total_amount,
        currency_code = excluded.currency_code,
        has_total_mismatch = excluded.has_total_mismatch,
        programs = excluded.programs,
        replaced_amazon_order_id = excluded.replaced_amazon_order_id,
        item_count = excluded.item_count,
        ordered_qty = excluded.ordered_qty,
        fulfilled_qty = excluded.fulfilled_qty,
        is_buyer_cancel_requested = excluded.is_buyer_cancel_requested,
        payload_sha256 = excluded.payload_sha256,
        dag_run_id = excluded.dag_run_id,
        loaded_at = excluded.loaded_at;

-- name: write_items
insert into core.order_items (
    amazon_order_id, amazon_item_id, line_number, seller_sku, asin, title, ordered_qty, fulfilled_qty, currency_code,
    unit_price_amount, item_amount, shipping_amount, gift_wrap_amount, tax_amount, discount_amount,
    shipping_discount_amount, gift_wrap_discount_amount, other_discount_amount, other_amount, line_total_amount,
    is_buyer_cancel_requested, canceled_qty, canceled_by
)
select
    newest_items.amazon_order_id, newest_items.amazon_item_id, newest_items.line_number, newest_items.seller_sku,
    newest_items.asin, newest_items.title, newest_items.ordered_qty, newest_items.fulfilled_qty,
    newest_items.currency_code, newest_items.unit_price_amount, newest_items.item_amount,
    newest_items.shipping_amount, newest_items.gift_wrap_amount, newest_items.tax_amount,
    newest_items.discount_amount, newest_items.shipping_discount_amount, newest_items.gift_wrap_discount_amount,
    newest_items.other_discount_amount, newest_items.other_amount, newest_items.line_total_amount,
    newest_items.is_buyer_cancel_requested, newest_items.canceled_qty, newest_items.canceled_by
from newest_items
inner join changed_orders on newest_items.amazon_order_id = changed_orders.amazon_order_id
on conflict (amazon_order_id, amazon_item_id) do update
    set
        line_number = excluded.line_number,
        seller_sku = excluded.seller_sku,
        asin = excluded.asin,
        title = excluded.title,
        ordered_qty = excluded.ordered_qty,
        fulfilled_qty = excluded.fulfilled_qty,
        currency_code = excluded.currency_code,
        unit_price_amount = excluded.unit_price_amount,
        item_amount = excluded.item_amount,
        shipping_amount = excluded.shipping_amount,
        gift_wrap_amount = excluded.gift_wrap_amount,
        tax_amount = excluded.tax_amount,
        discount_amount = excluded.discount_amount,
        shipping_discount_amount = excluded.shipping_discount_amount,
        gift_wrap_discount_amount = excluded.gift_wrap_discount_amount,
        other_discount_amount = excluded.other_discount_amount,
        other_amount = excluded.other_amount,
        line_total_amount = excluded.line_total_amount,
        is_buyer_cancel_requested = excluded.is_buyer_cancel_requested,
        canceled_qty = excluded.canceled_qty,
        canceled_by = excluded.canceled_by;

-- name: drop_items_that_left
delete from core.order_items as items
using changed_orders
where
    items.amazon_order_id = changed_orders.amazon_order_id
    and items.commerce_item_id is null
    and not exists (
        select from newest_items
        where
            newest_items.amazon_order_id = items.amazon_order_id
            and newest_items.amazon_item_id = items.amazon_item_id
    );

-- name: cancel_items_that_left
-- The Commerce order still has them.
update core.order_items as items
set canceled_qty = items.ordered_qty
from changed_orders
where
    items.amazon_order_id = changed_orders.amazon_order_id
    and items.commerce_item_id is not null
    and not exists (
        select from newest_items
        where
            newest_items.amazon_order_id = items.amazon_order_id
            and newest_items.amazon_item_id = items.amazon_item_id
    );

-- name: write_status_changes
insert into core.order_status_changes (
    amazon_order_id, system_code, changed_at, to_code, from_code, detected_at, dag_run_id
)
select amazon_order_id, 'amazon', changed_at, to_code, from_code, :now, :dag_run_id
from status_changes
on conflict do nothing;

-- name: resume_attempts
-- What Amazon changed may be what the attempts failed on: an order that needed attention is tried afresh. A refused row
-- starts afresh when it is planned again.
update ops.order_outbox as outbox
set needs_attention_at = null, failures = 0, dag_run_id = :dag_run_id, updated_at = :now
from changed_orders
inner join core.orders as orders on changed_orders.amazon_order_id = orders.amazon_order_id
where
    outbox.amazon_order_id = orders.amazon_order_id
    and outbox.state = 'planned'
    and outbox.needs_attention_at is not null
    and orders.pipeline_state = 'needs_attention';

-- name: orders_to_check_again
-- Not those that Commerce has or may have already.
select
    orders.amazon_order_id,
    'new' as to_code,
    'Changed on Amazon; checked again in this run.' as reason
from changed_orders
inner join core.orders as orders on changed_orders.amazon_order_id = orders.amazon_order_id
left join ops.order_outbox as outbox on orders.amazon_order_id = outbox.amazon_order_id
where
    orders.pipeline_state in ('waiting', 'not_imported', 'canceled', 'rejected')
    or (
        orders.pipeline_state = 'needs_attention'
        and coalesce(outbox.state, 'planned') in ('planned', 'rejected')
    );

-- name: agreeing_totals
-- Orders whose totals differed before, and do not any more.
select changed_orders.amazon_order_id
from changed_orders
inner join ops.blocker_episodes as episodes on changed_orders.amazon_order_id = episodes.amazon_order_id
where
    not changed_orders.has_total_mismatch
    and episodes.blocker_code = 'total_mismatch'
    and episodes.closed_at is null;

-- name: finish_pages
update ops.ingest_pages as pages
set staged_at = :now
from claimed_pages
where
    pages.ingest_window_id = claimed_pages.ingest_window_id
    and pages.page_number = claimed_pages.page_number;
