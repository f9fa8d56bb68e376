{{ config(materialized='incremental', unique_key='transaction_id') }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

final as (

    select
        transaction_id,
        ts,
        source,
        customer_id,
        address_id,
        cast(coalesce(array_length(product_details), 0) as bigint) as line_count,
        total_amount,
        currency,
        payment_method,
        status

    from orders

)

select * from final
