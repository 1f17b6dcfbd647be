-- What a discount is on: shipping, gift wrap, other charges; the rest is on the goods. A line gets these when Amazon
-- changes its order; until then all of its discount counts as one on the goods, as before.
alter table core.order_items
add column shipping_discount_amount numeric(20, 4),
add column gift_wrap_discount_amount numeric(20, 4),
add column other_discount_amount numeric(20, 4);
