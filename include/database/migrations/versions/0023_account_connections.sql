-- Requests are recorded with their connection, quotas with their account. The next run fills the column.
alter table core.stores add column amazon_connection text;
comment on column core.stores.amazon_connection is
'Airflow connection of the account; null until stores.yaml has been read again.';
