-- Findings that block nothing are few among the open blockers, and every run reads those of its shop.
create index ix_blocker_episodes_findings on ops.blocker_episodes (amazon_order_id)
where closed_at is null and severity = 'warning';

-- Orders of which the buyer asked to cancel something are put on hold in Commerce.
alter table ops.order_change_outbox
drop constraint ck_order_change_outbox_kind,
add constraint ck_order_change_outbox_kind check (kind in ('canceled_units', 'hold', 'release', 'address')),
add column over_at timestamp with time zone;

create unique index ix_order_change_outbox_hold on ops.order_change_outbox (amazon_order_id)
where kind = 'hold' and over_at is null;

create index ix_orders_cancel_requested on core.orders (amazon_order_id)
where is_buyer_cancel_requested and amazon_status in ('UNSHIPPED', 'PARTIALLY_SHIPPED');
