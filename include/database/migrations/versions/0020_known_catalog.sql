-- What creating an order needs of the shop's catalog is kept when validation asks for it.
alter table core.products
add column weight numeric;

create table core.store_views (
    commerce_connection text not null,
    commerce_store_view text not null,
    store_id integer not null,
    website_id integer not null,
    website_code text not null,
    base_currency_code text not null,
    stock_id integer,
    checked_at timestamp with time zone not null,
    dag_run_id text not null,
    constraint pk_store_views primary key (commerce_connection, commerce_store_view)
);
