{{ config(materialized='incremental', unique_key='address_id') }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

final as (

    select
        address_id,
        street,
        city,
        state,
        zip_code,
        country,
        ts as updated_at

    from orders
    where address_id is not null

)

select * from final
