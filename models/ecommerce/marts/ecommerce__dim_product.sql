{{ config(materialized='incremental', unique_key='product_id', alias='dim_product') }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

lines as (

    select
        ts,
        currency,
        unnest(product_details) as line

    from orders

),

products as (

    select
        trim(both '"' from line['product_id']) as product_id,
        line['product_name'] as name,
        cast(round(line['price'], 2) as decimal(18, 2)) as unit_price,
        currency,
        ts as updated_at

    from lines

),

final as (

    select * from products
    where product_id is not null

)

select * from final
