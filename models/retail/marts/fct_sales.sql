{{ config(materialized='incremental', unique_key='transaction_id') }}

with

sales as (

    select * from {{ ref('stg_retail') }}

),

final as (

    select
        transaction_id,
        ts,
        store_id,
        customer_id,
        channel,
        payment_method,
        amount,
        currency,
        cast(coalesce(cardinality(items), 0) as bigint) as line_count,
        review is not null as has_review

    from sales

)

select * from final
