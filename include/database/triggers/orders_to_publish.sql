-- Every change of a fact that a row of reporting.recent_orders shows puts the order into ops.orders_to_publish, in the
-- transaction of the change. publish_recent_orders takes the orders out again and writes their rows.
--
-- The queue is append-only on purpose: an order may be in it many times. "On conflict do nothing" would drop the entry
-- of a change that commits after the publisher has read the order's facts and before it deletes the earlier entry.
--
-- One trigger runs per statement, not per row: staging 20,000 orders appends 20,000 entries with one insert. plpgsql
-- keeps a function's plan for the whole session, so nothing here joins the changed rows to a table in a way that is
-- cheap for one row and ruinous for many.

create or replace function ops.queue_changed_orders() returns trigger
language plpgsql
as $$
begin
    insert into ops.orders_to_publish (amazon_order_id)
    select amazon_order_id
    from changed
    where amazon_order_id is not null;
    return null;
end
$$;
comment on function ops.queue_changed_orders() is 'Queues the orders of all rows that a statement wrote or deleted.';

create or replace function ops.queue_orders_that_differ() returns trigger
language plpgsql
as $$
begin
    insert into ops.orders_to_publish (amazon_order_id)
    select differing.facts ->> 'amazon_order_id'
    from (
        select to_jsonb(changed) - tg_argv as facts from changed
        except
        select to_jsonb(before) - tg_argv from before
    ) as differing
    where differing.facts ->> 'amazon_order_id' is not null;
    return null;
end
$$;
comment on function ops.queue_orders_that_differ() is
'Queues the orders of updated rows that differ in more than the bookkeeping columns that the trigger names.';

create or replace function ops.queue_orders_of_tracks() returns trigger
language plpgsql
as $$
begin
    -- A shipment that is deleted by the same statement is gone here; its own trigger queues the order.
    insert into ops.orders_to_publish (amazon_order_id)
    select found.amazon_order_id
    from (
        select (
            select shipments.amazon_order_id
            from core.shipments as shipments
            where
                shipments.commerce_connection = changed.commerce_connection
                and shipments.commerce_shipment_id = changed.commerce_shipment_id
        ) as amazon_order_id
        from changed
    ) as found
    where found.amazon_order_id is not null;
    return null;
end
$$;
comment on function ops.queue_orders_of_tracks() is 'Queues the orders of the shipments whose tracks changed.';

create or replace function ops.queue_orders_of_stores() returns trigger
language plpgsql
as $$
declare
    changed_names text[] := array(
        select differing.store_name
        from (
            select store_name, seller_central_host, commerce_admin_url from changed
            except
            select store_name, seller_central_host, commerce_admin_url from before
        ) as differing
    );
begin
    -- Somebody edited stores.yaml or a connection: rare enough to read core.orders once without an index.
    if cardinality(changed_names) > 0 then
        insert into ops.orders_to_publish (amazon_order_id)
        select amazon_order_id
        from core.orders
        where store_name = any(changed_names);
    end if;
    return null;
end
$$;
comment on function ops.queue_orders_of_stores() is
'Queues all orders of the stores whose name or addresses changed; orders show them.';

create or replace function ops.queue_orders_of_holds() returns trigger
language plpgsql
as $$
begin
    -- Rare. An approved stop is not in the view any more, so the open rows of its store are looked through here.
    insert into ops.orders_to_publish (amazon_order_id)
    select outbox.amazon_order_id
    from ops.order_outbox as outbox
    where
        outbox.store_name in (select changed.store_name from changed where changed.kind = 'orders')
        and outbox.state = 'planned'
        and outbox.finished_at is null
        and outbox.needs_attention_at is null
    union all
    select changes.amazon_order_id
    from ops.order_change_outbox as changes
    inner join ops.order_outbox as outbox on changes.amazon_order_id = outbox.amazon_order_id
    where
        changes.done_at is null
        and changes.kind = 'canceled_units'
        and outbox.store_name in (select changed.store_name from changed where changed.kind <> 'orders');
    return null;
end
$$;
comment on function ops.queue_orders_of_holds() is
'Queues the orders that wait in the stores whose writes were stopped or approved; their notes say so.';

do $$
declare
    source record;
    event_name text;
    function_call text;
    definition text;
    has_new_trigger boolean := false;
begin
    for source in
        select *
        from (
            values
            -- table, what an insert or a delete runs, what an update runs
            ('core.orders', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('core.shipments', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('core.shipment_tracks', 'queue_orders_of_tracks()', 'queue_orders_of_tracks()'),
            ('core.stores', null, 'queue_orders_of_stores()'), -- a new store has no orders
            ('ops.cancellation_outbox', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('ops.order_change_outbox', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('ops.order_outbox', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('ops.shipment_outbox', 'queue_changed_orders()', 'queue_changed_orders()'),
            ('ops.write_holds', 'queue_orders_of_holds()', 'queue_orders_of_holds()'),
            (
                'ops.blocker_episodes',
                'queue_changed_orders()',
                'queue_orders_that_differ(''last_seen_at'', ''check_count'', ''dag_run_id'')'
            ),
            (
                'ops.quarantined_orders',
                'queue_changed_orders()',
                'queue_orders_that_differ(''last_seen_at'', ''seen_count'', ''dag_run_id'')'
            )
        ) as sources (table_name, on_rows, on_update)
    loop
        foreach event_name in array array['INSERT', 'UPDATE', 'DELETE'] loop
            function_call := case event_name when 'UPDATE' then source.on_update else source.on_rows end;
            continue when function_call is null;
            definition := format(
                'CREATE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION ops.%s',
                'queue_orders_on_' || lower(event_name),
                event_name,
                source.table_name,
                case event_name
                    when 'INSERT' then 'NEW TABLE AS changed'
                    when 'UPDATE' then 'OLD TABLE AS before NEW TABLE AS changed'
                    else 'OLD TABLE AS changed'
                end,
                function_call
            );
            -- One that is there already is left alone: to create it again would lock the table.
            continue when exists (
                select from pg_trigger
                where tgrelid = source.table_name::regclass and pg_get_triggerdef(oid) = definition
            );
            execute replace(definition, 'CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
            has_new_trigger := true;
        end loop;
    end loop;
    -- What changed before a trigger existed was queued by nobody. Without this row the next publisher queues all orders;
    -- the locks of the new triggers keep every writer out until this is committed.
    if has_new_trigger then
        delete from ops.published_rules;
    end if;
end
$$;
