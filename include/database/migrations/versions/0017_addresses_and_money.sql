-- Orders whose delivery address no Commerce order can have.
create table ops.bad_addresses (
    amazon_order_id text not null,
    problem text not null,
    found_at timestamp with time zone not null,
    constraint pk_bad_addresses primary key (amazon_order_id)
);
