-- An address that Amazon gives or changes after a Commerce order was created is written to it.
alter table ops.order_change_outbox drop constraint ck_order_change_outbox_kind;
alter table ops.order_change_outbox
add constraint ck_order_change_outbox_kind check (kind in ('canceled_units', 'address'));

alter table ops.order_outbox
add column contact_loaded_at timestamp with time zone;

-- What Amazon gave before is left as it is.
update ops.order_outbox as outbox
set contact_loaded_at = contacts.loaded_at
from pii.order_contacts as contacts
where outbox.amazon_order_id = contacts.amazon_order_id and outbox.commerce_order_id is not null;
