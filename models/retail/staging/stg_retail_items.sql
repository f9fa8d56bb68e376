with

sales as (

    select * from {{ ref('stg_retail') }}

),

-- an item stands behind its number in the sale
numbered as (

    select
        transaction_id,
        ts,
        store_id,
        customer_id,
        currency,
        channel,
        unnest(items) as item,
        unnest(generate_series(1, cast(cardinality(items) as bigint))) as line_number

    from sales

),

flattened as (

    select
        transaction_id,
        line_number,
        ts,
        store_id,
        customer_id,
        currency,
        channel,

        item['sku'] as sku,
        item['name'] as product_name,
        item['category'] as product_category,
        item['quantity'] as quantity,
        item['unit_price'] as unit_price,
        coalesce(item['discount'], cast(0 as numeric(5, 4))) as discount

    from numbered
    where item is not null

)

select * from flattened
