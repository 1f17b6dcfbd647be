-- The three roles, all their rights and their limits; run after every migration. Passwords are the administrator's
-- business. What this administrator may not do is left as it is, and the migration says so.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['orders_rw', 'orders_ui', 'analyst'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I login', role_name);
        end if;
    end loop;
end
$$;

-- orders_rw: the DAGs. Reads and writes rows everywhere, changes no table.
grant usage on schema raw, pii, core, ops, reporting to orders_rw;
grant select, insert, update, delete on all tables in schema raw, pii, core, ops, reporting to orders_rw;
grant usage on all sequences in schema raw, ops to orders_rw;

-- orders_ui: the pages in Airflow. Reads what people look at, and the buyers' names (encrypted).
grant usage on schema reporting, pii to orders_ui;
grant select on all tables in schema reporting to orders_ui;
grant select on pii.order_contacts to orders_ui;

-- analyst: reads reporting, nothing else.
grant usage on schema reporting to analyst;
grant select on all tables in schema reporting to analyst;

-- The version of the tables is the administrator's.
revoke insert, update, delete on ops.schema_version from orders_rw;

-- The database is for these roles only, and only the DAGs' may fill disks with temporary tables.
do $$
declare
    owner_name name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
    execute format('revoke connect, temporary on database %I from public', current_database());
    execute format(
        'grant connect on database %I to orders_rw, orders_ui, analyst, %I', current_database(), owner_name
    );
    execute format('grant temporary on database %I to orders_rw', current_database());
exception when insufficient_privilege then
    null;
end
$$;

-- The tasks take turns by advisory locks: who reads only must not hold one.
do $$
declare
    taking record;
    owner_name name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
    for taking in
        select oid, cast(oid as regprocedure) as signature
        from pg_proc
        where
            pronamespace = cast('pg_catalog' as regnamespace)
            and proname ~ '^pg_(try_)?advisory_(xact_)?lock'
            and has_function_privilege('public', oid, 'execute')
    loop
        execute format('revoke execute on function %s from public', taking.signature);
        execute format('grant execute on function %s to orders_rw, %I', taking.signature, owner_name);
    end loop;
exception when insufficient_privilege then
    null;
end
$$;

-- Limits against what is forgotten or out of hand; what an administrator has set instead stays.
do $$
declare
    limits record;
begin
    for limits in
        select *
        from (
            values
            ('analyst', 'statement_timeout', '5min'),
            ('analyst', 'idle_in_transaction_session_timeout', '1min'),
            ('orders_ui', 'statement_timeout', '1min'),
            ('orders_ui', 'idle_in_transaction_session_timeout', '1min')
        ) as wanted (role_name, setting, value)
        where not exists (
            select from pg_db_role_setting as settings
            inner join pg_roles as roles on settings.setrole = roles.oid
            cross join unnest(settings.setconfig) as known (assignment)
            where
                roles.rolname = wanted.role_name
                and settings.setdatabase in (
                    0, (select oid from pg_database where datname = current_database())
                )
                and starts_with(known.assignment, wanted.setting || '=')
        )
    loop
        execute format(
            'alter role %I in database %I set %I = %L',
            limits.role_name, current_database(), limits.setting, limits.value
        );
    end loop;
    for limits in
        select wanted.role_name, wanted.most
        from (values ('analyst', 10), ('orders_ui', 40)) as wanted (role_name, most)
        inner join pg_roles as roles on wanted.role_name = roles.rolname
        where roles.rolconnlimit = -1
    loop
        execute format('alter role %I connection limit %s', limits.role_name, limits.most);
    end loop;
exception when insufficient_privilege then
    null;
end
$$;

-- Outboxes are changed in their tables, not through the view.
revoke insert, update, delete on ops.open_order_outbox, ops.held_orders, core.open_cancel_requests from orders_rw;
