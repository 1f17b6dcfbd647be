-- The three roles and all their rights; run after every migration. Passwords are the administrator's business.
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
