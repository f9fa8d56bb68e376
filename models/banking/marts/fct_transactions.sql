{{ config(materialized='incremental', unique_key='transaction_id') }}

with

transactions as (

    select * from {{ ref('stg_transactions') }}

),

final as (

    select
        transaction_id,
        ts,
        account_id,
        customer_id,
        merchant_id,
        amount,
        currency,
        transaction_type,
        {{ day_type('ts') }} as day_type,
        channel,
        status

    from transactions

)

select * from final
