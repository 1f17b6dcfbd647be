-- One unit on Amazon can be several in the catalog.
alter table core.order_items add column pack_units integer default 1 not null;

create table core.sku_map (
    store_name text not null,
    seller_sku text not null,
    commerce_sku text not null,
    quantity integer default 1 not null,
    constraint pk_sku_map primary key (store_name, seller_sku),
    constraint fk_sku_map_store_name foreign key (store_name) references core.stores (store_name) on update cascade,
    constraint ck_sku_map_commerce_sku check (commerce_sku <> ''),
    constraint ck_sku_map_quantity check (quantity between 1 and 10000)
);
