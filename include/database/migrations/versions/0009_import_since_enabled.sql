-- A store that imports orders, or those that Amazon fulfills, only since a later day does not create the past.
alter table core.stores
add column import_enabled_at timestamp with time zone,
add column amazon_fulfilled_enabled_at timestamp with time zone,
add column amazon_fulfilled_since timestamp with time zone;

-- What was imported until now goes on.
update core.stores
set
    import_enabled_at = case when is_import_enabled then connected_at end,
    amazon_fulfilled_enabled_at = connected_at,
    amazon_fulfilled_since = import_since;

alter table core.stores alter column amazon_fulfilled_since set not null;
