-- name: owners
select amazon_order_id, account_name
from core.orders
where amazon_order_id = any(cast(:order_ids as text[]));

-- name: insert_orders
insert into raw.amazon_orders (
    amazon_order_id, account_name, last_updated_at, payload_sha256, payload, contract_findings,
    ingest_window_id, page_number, fetched_at, dag_run_id
)
select
    landed.amazon_order_id,
    :account_name,
    landed.last_updated_at,
    landed.payload_sha256,
    cast(landed.payload as jsonb),
    array(select jsonb_array_elements_text(cast(landed.findings as jsonb))),
    :ingest_window_id,
    :page_number,
    :fetched_at,
    :dag_run_id
from
    unnest(
        cast(:amazon_order_ids as text[]),
        cast(:last_updated_ats as timestamptz[]),
        cast(:payload_sha256s as text[]),
        cast(:payloads as text[]),
        cast(:findings as text[])
    ) as landed (amazon_order_id, last_updated_at, payload_sha256, payload, findings)
on conflict (amazon_order_id, last_updated_at, payload_sha256) do nothing
returning amazon_order_id;

-- name: release_quarantined
-- What staging set aside is released by staging.
update ops.quarantined_orders
set released_at = now()
where
    released_at is null
    and quarantined_by = 'extract_amazon_orders'
    and amazon_order_id = any(cast(:order_ids as text[]));

-- name: contacts
select amazon_order_id, contact_encrypted, last_updated_at
from pii.order_contacts
where amazon_order_id = any(cast(:order_ids as text[]))
for update;

-- name: upsert_contact
insert into pii.order_contacts (amazon_order_id, contact_encrypted, last_updated_at, loaded_at)
values (:amazon_order_id, :contact_encrypted, :last_updated_at, now())
on conflict (amazon_order_id) do update
    set
        contact_encrypted = excluded.contact_encrypted,
        last_updated_at = excluded.last_updated_at,
        loaded_at = excluded.loaded_at;

-- name: quarantine_payload
insert into pii.quarantined_payloads (payload_sha256, payload_encrypted, loaded_at)
values (:payload_sha256, :payload_encrypted, now())
on conflict (payload_sha256) do nothing;

-- name: quarantine_order
insert into ops.quarantined_orders (
    payload_sha256, account_name, amazon_order_id, findings, remedy, seen_count, first_seen_at, last_seen_at,
    contract_sha256, next_read_at, dag_run_id
)
values (
    :payload_sha256, :account_name, :amazon_order_id, :findings, :remedy, 1, now(), now(), :contract_sha256,
    cast(:fetched_at as timestamptz) + interval '1 hour', :dag_run_id
)
on conflict (payload_sha256) do update
    set
        seen_count = quarantined_orders.seen_count + 1,
        last_seen_at = now(),
        findings = excluded.findings,
        dag_run_id = excluded.dag_run_id
returning seen_count;
