-- name: order_ids
select distinct landed.amazon_order_id
from claimed_pages
inner join raw.amazon_orders as landed
    on
        claimed_pages.ingest_window_id = landed.ingest_window_id
        and claimed_pages.page_number = landed.page_number
order by landed.amazon_order_id;

-- name: versions
create temporary table versions on commit drop as
select
    landed.amazon_order_version_id,
    landed.amazon_order_id,
    landed.account_name,
    landed.last_updated_at as amazon_last_updated_at,
    landed.payload_sha256,
    coalesce(landed.payload #>> '{fulfillment,fulfillmentStatus}', 'UNKNOWN') as amazon_status
from claimed_pages
inner join raw.amazon_orders as landed
    on
        claimed_pages.ingest_window_id = landed.ingest_window_id
        and claimed_pages.page_number = landed.page_number
where landed.amazon_order_id = any(cast(:order_ids as text[]));

-- name: newest
create temporary table newest on commit drop as
select
    latest.*,
    -- A sale outside Amazon, which Amazon only ships, has no marketplace: the merchant's own channel has it already.
    case
        when coalesce(landed.payload #>> '{salesChannel,channelName}', '') <> 'NON_AMAZON'
            then landed.payload #>> '{salesChannel,marketplaceId}'
    end as marketplace_id,
    landed.payload #>> '{fulfillment,fulfilledBy}' as fulfilled_by,
    landed.payload #>> '{fulfillment,fulfillmentServiceLevel}' as service_level,
    cast(landed.payload ->> 'createdTime' as timestamptz) as purchased_at,
    cast(landed.payload #>> '{fulfillment,shipByWindow,latestDateTime}' as timestamptz) as ship_by_at,
    cast(landed.payload #>> '{fulfillment,deliverByWindow,latestDateTime}' as timestamptz) as deliver_by_at,
    cast(landed.payload #>> '{proceeds,grandTotal,amount}' as numeric) as grand_total_amount,
    landed.payload #>> '{proceeds,grandTotal,currencyCode}' as currency_code,
    -- The one part of the grand total that belongs to no line.
    coalesce(
        (
            select sum(cast(entry #>> '{subtotal,amount}' as numeric))
            from jsonb_array_elements(landed.payload #> '{proceeds,breakdowns}') as entry
            where entry ->> 'type' = 'DELIVERY_TIP'
        ),
        0
    ) as delivery_tip_amount,
    coalesce(
        array(select jsonb_array_elements_text(landed.payload -> 'programs')),
        cast('{}' as text[])
    ) as programs,
    (
        select associated ->> 'orderId'
        from jsonb_array_elements(landed.payload -> 'associatedOrders') as associated
        where associated ->> 'associationType' in ('REPLACEMENT_ORIGINAL_ID', 'EXCHANGE_ORIGINAL_ID')
        limit 1
    ) as replaced_amazon_order_id
from (
    select distinct on (amazon_order_id) *
    from versions
    order by amazon_order_id, amazon_last_updated_at desc, amazon_order_version_id desc
) as latest
inner join raw.amazon_orders as landed on latest.amazon_order_version_id = landed.amazon_order_version_id;

-- name: newest_items
create temporary table newest_items on commit drop as
select
    landed.amazon_order_id,
    item.document ->> 'orderItemId' as amazon_item_id,
    item.position as line_number,
    coalesce(item.document #>> '{product,sellerSku}', '') as seller_sku,
    item.document #>> '{product,asin}' as asin,
    item.document #>> '{product,title}' as title,
    units.ordered_qty,
    units.fulfilled_qty,
    -- Amazon has no field for canceled units. They are what is neither shipped nor to be shipped of a line, where
    -- Amazon says that somebody canceled it or gives both numbers; a pending order has nothing to ship yet.
    case
        when newest.amazon_status in ('CANCELLED', 'UNFULFILLABLE')
            then greatest(units.ordered_qty - units.fulfilled_qty, 0)
        when newest.amazon_status not in ('UNSHIPPED', 'PARTIALLY_SHIPPED', 'SHIPPED') then 0
        when
            units.is_canceled
            or units.fulfilled_qty + units.unfulfilled_qty > 0
            or newest.amazon_status <> 'SHIPPED' and units.has_both
            then greatest(units.ordered_qty - units.fulfilled_qty - coalesce(units.unfulfilled_qty, 0), 0)
        else 0
    end as canceled_qty,
    item.document #>> '{cancellation,cancellationExecution,cancelledBy}' as canceled_by,
    coalesce(
        item.document #>> '{proceeds,proceedsTotal,currencyCode}',
        item.document #>> '{product,price,unitPrice,currencyCode}'
    ) as currency_code,
    cast(item.document #>> '{product,price,unitPrice,amount}' as numeric) as unit_price_amount,
    money.item_amount,
    money.shipping_amount,
    money.gift_wrap_amount,
    money.tax_amount,
    money.discount_amount,
    -- Parts of the discount, so never more than it; `least` leaves nulls out.
    nullif(
        least(coalesce(money.shipping_discount_amount, 0), coalesce(money.discount_amount, 0)), 0
    ) as shipping_discount_amount,
    nullif(
        least(coalesce(money.gift_wrap_discount_amount, 0), coalesce(money.discount_amount, 0)), 0
    ) as gift_wrap_discount_amount,
    nullif(
        least(coalesce(money.other_discount_amount, 0), coalesce(money.discount_amount, 0)), 0
    ) as other_discount_amount,
    money.other_amount,
    cast(item.document #>> '{proceeds,proceedsTotal,amount}' as numeric) as line_total_amount,
    -- A request that was answered by a cancellation asks for nothing any more.
    item.document #> '{cancellation,cancellationRequest}' is not null
    and item.document #> '{cancellation,cancellationExecution}' is null as is_buyer_cancel_requested
from newest
inner join raw.amazon_orders as landed on newest.amazon_order_version_id = landed.amazon_order_version_id
cross join lateral jsonb_array_elements(landed.payload -> 'orderItems') with ordinality as item (document, position)
cross join
    lateral (
        select
            cast(item.document ->> 'quantityOrdered' as integer) as ordered_qty,
            coalesce(cast(item.document #>> '{fulfillment,quantityFulfilled}' as integer), 0) as fulfilled_qty,
            cast(item.document #>> '{fulfillment,quantityUnfulfilled}' as integer) as unfulfilled_qty,
            item.document #> '{fulfillment,quantityFulfilled}' is not null
            and item.document #> '{fulfillment,quantityUnfulfilled}' is not null as has_both,
            item.document #> '{cancellation,cancellationExecution}' is not null as is_canceled
    ) as units
left join lateral (
    select
        sum(breakdown.amount) filter (where breakdown.type_code = 'ITEM') as item_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'SHIPPING') as shipping_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'GIFT_WRAP') as gift_wrap_amount,
        sum(breakdown.amount) filter (where breakdown.type_code = 'TAX') as tax_amount,
        sum(abs(breakdown.amount)) filter (where breakdown.type_code = 'DISCOUNT') as discount_amount,
        -- Amazon does not document the sign of a discount (selling-partner-api-models issue 5297).
        sum(breakdown.shipping_part) filter (where breakdown.type_code = 'DISCOUNT') as shipping_discount_amount,
        sum(breakdown.gift_wrap_part) filter (where breakdown.type_code = 'DISCOUNT') as gift_wrap_discount_amount,
        sum(breakdown.other_part) filter (where breakdown.type_code = 'DISCOUNT') as other_discount_amount,
        sum(breakdown.amount) filter (
            where breakdown.type_code not in ('ITEM', 'SHIPPING', 'GIFT_WRAP', 'TAX', 'DISCOUNT')
        ) as other_amount
    from (
        select
            entry ->> 'type' as type_code,
            cast(entry #>> '{subtotal,amount}' as numeric) as amount,
            parts.shipping_part,
            parts.gift_wrap_part,
            parts.other_part
        from jsonb_array_elements(item.document #> '{proceeds,breakdowns}') as entry
        left join lateral (
            select
                sum(part.amount) filter (where part.subtype_code = 'SHIPPING') as shipping_part,
                sum(part.amount) filter (where part.subtype_code = 'GIFT_WRAP') as gift_wrap_part,
                sum(part.amount) filter (where part.subtype_code in ('COD_FEE', 'OTHER')) as other_part
            from (
                select
                    detail ->> 'subtype' as subtype_code,
                    abs(cast(detail #>> '{value,amount}' as numeric)) as amount
                from jsonb_array_elements(entry -> 'detailedBreakdowns') as detail
            ) as part
        ) as parts on true
    ) as breakdown
) as money on true;
