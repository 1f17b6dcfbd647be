-- Orders that Commerce refused for one cause are tried by one of them, and follow when it passes.
alter table ops.order_outbox add column refusal_cause text;

create index ix_order_outbox_rejected on ops.order_outbox (commerce_connection, refusal_cause) where state = 'rejected';
