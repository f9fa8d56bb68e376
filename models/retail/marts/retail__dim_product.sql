{{ config(materialized='incremental', unique_key='sku', alias='dim_product') }}

with

items as (

    select * from {{ ref('stg_retail_items') }}

),

final as (

    select
        sku,
        product_name as name,
        product_category as category,
        ts as updated_at

    from items
    where sku is not null

)

select * from final
