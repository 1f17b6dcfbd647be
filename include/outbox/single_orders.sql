-- name: insert_window
insert into ops.ingest_windows (
    account_name, kind, updated_from, updated_to, query, page_count, orders_seen, state, opened_at, landed_at,
    dag_run_id
)
values (:account_name, 'single', :now, :now, '{}', 1, 1, 'landed', now(), now(), :dag_run_id)
returning ingest_window_id;

-- name: insert_page
insert into ops.ingest_pages (ingest_window_id, page_number, page_sha256, orders_seen, landed_at, request_id)
values (:ingest_window_id, 1, :page_sha256, 1, now(), :request_id);
