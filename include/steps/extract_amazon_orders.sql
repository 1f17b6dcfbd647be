-- name: open_window
select ingest_window_id, query, next_token, next_token_at, page_count
from ops.ingest_windows
where account_name = :account_name and state = 'open'
for update;

-- name: window
select ingest_window_id, query, next_token, next_token_at, page_count
from ops.ingest_windows
where ingest_window_id = :ingest_window_id;

-- name: abandon_window
update ops.ingest_windows
set state = 'abandoned', next_token = null
where ingest_window_id = :ingest_window_id and state = 'open';

-- name: watermarks
select
    stores.marketplace_id,
    stores.connected_at,
    stores.import_since,
    landed.watermark,
    landed.covered_from
from core.stores as stores
left join lateral (
    select
        max(windows.updated_to) as watermark,
        min(windows.updated_from) as covered_from
    from ops.ingest_windows as windows
    where
        windows.account_name = stores.account_name
        and windows.state = 'landed'
        and stores.marketplace_id = any(string_to_array(windows.query ->> 'marketplaceIds', ','))
) as landed on true
where stores.account_name = :account_name and stores.marketplace_id = any(cast(:marketplace_ids as text[]));

-- name: insert_window
insert into ops.ingest_windows (account_name, updated_from, updated_to, query, state, opened_at, dag_run_id)
values (:account_name, :updated_from, :updated_to, :query, 'open', now(), :dag_run_id)
returning ingest_window_id, query, next_token, next_token_at, page_count;

-- name: repeated_page
select count(*)
from ops.ingest_pages
where ingest_window_id = :ingest_window_id and page_sha256 = :page_sha256;

-- name: insert_page
insert into ops.ingest_pages (ingest_window_id, page_number, page_sha256, orders_seen, landed_at, request_id)
values (:ingest_window_id, :page_number, :page_sha256, :orders_seen, now(), :request_id);

-- name: advance_window
update ops.ingest_windows
set
    next_token = :next_token,
    next_token_at = case when cast(:next_token as text) is null then null else cast(:next_token_at as timestamptz) end,
    page_count = page_count + 1,
    -- Amazon says which upper bound it used; the watermark must not be later.
    updated_to = least(updated_to, coalesce(cast(:updated_before as timestamptz), updated_to)),
    orders_seen = orders_seen + :orders_seen,
    orders_quarantined = orders_quarantined + :orders_quarantined,
    state = case when cast(:next_token as text) is null then 'landed' else 'open' end,
    landed_at = case when cast(:next_token as text) is null then now() end
where ingest_window_id = :ingest_window_id and state = 'open';

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
on conflict (amazon_order_id, last_updated_at, payload_sha256) do nothing;

-- name: release_quarantined
update ops.quarantined_orders
set released_at = now()
where released_at is null and amazon_order_id = any(cast(:order_ids as text[]));

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
    payload_sha256, account_name, amazon_order_id, findings, remedy, seen_count, first_seen_at, last_seen_at, dag_run_id
)
values (
    :payload_sha256, :account_name, :amazon_order_id, :findings, :remedy, 1, now(), now(), :dag_run_id
)
on conflict (payload_sha256) do update
    set
        seen_count = quarantined_orders.seen_count + 1,
        last_seen_at = now(),
        dag_run_id = excluded.dag_run_id;
