{{ config(materialized='incremental', unique_key='customer_id', alias='dim_customer') }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

final as (

    select
        customer_id,
        address_id,
        city,
        country,
        currency,
        payment_method,
        ts as updated_at

    from orders
    where customer_id is not null

)

select * from final
