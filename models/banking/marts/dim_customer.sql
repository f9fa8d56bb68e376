{{ config(materialized='incremental', unique_key='customer_id') }}

with

transactions as (

    select * from {{ ref('stg_transactions') }}

),

final as (

    select
        customer_id,
        customer_name as name,
        customer_city as city,
        customer_email as email,
        ts as updated_at

    from transactions
    where customer_id is not null

)

select * from final
