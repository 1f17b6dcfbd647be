drop view if exists ops.open_order_outbox;

create view ops.open_order_outbox as
select
    amazon_order_id,
    account_name,
    commerce_connection,
    commerce_order_id,
    state,
    failures,
    next_attempt_at
from ops.order_outbox
where
    finished_at is null
    and needs_attention_at is null
    and state in ('planned', 'sent', 'in_doubt', 'created', 'adopted');

comment on view ops.open_order_outbox is
'Rows of ops.order_outbox that still need work by themselves: to be sent, looked up, or finished.';
comment on column ops.open_order_outbox.amazon_order_id is 'Amazon''s order id.';
comment on column ops.open_order_outbox.account_name is 'Account.';
comment on column ops.open_order_outbox.commerce_connection is 'Airflow connection of the shop.';
comment on column ops.open_order_outbox.commerce_order_id is 'Commerce''s order id, once the order is linked.';
comment on column ops.open_order_outbox.state is 'planned, sent, in_doubt, created or adopted.';
comment on column ops.open_order_outbox.failures is 'Attempts in a row that failed although the shop answered.';
comment on column ops.open_order_outbox.next_attempt_at is 'Not before this moment; null: now.';
