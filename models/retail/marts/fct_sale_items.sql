{{ config(materialized='incremental', unique_key=['transaction_id', 'line_number']) }}

with

items as (

    select * from {{ ref('stg_retail_items') }}

),

final as (

    select
        transaction_id,
        line_number,
        ts,
        store_id,
        customer_id,
        sku,
        quantity,
        unit_price,
        discount,
        cast(quantity * unit_price as numeric(18, 2)) as gross_amount,
        cast(quantity * unit_price * (1 - discount) as numeric(18, 2)) as net_amount,
        currency,
        channel

    from items

)

select * from final
