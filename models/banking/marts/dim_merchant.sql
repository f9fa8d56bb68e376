{{ config(materialized='incremental', unique_key='merchant_id') }}

with

transactions as (

    select * from {{ ref('stg_transactions') }}

),

final as (

    select
        merchant_id,
        merchant_name as name,
        merchant_category as category,
        ts as updated_at

    from transactions
    where merchant_id is not null

)

select * from final
