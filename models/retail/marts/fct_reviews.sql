{{ config(materialized='incremental', unique_key='transaction_id') }}

with

sales as (

    select * from {{ ref('stg_retail') }}

),

reviews as (

    select
        transaction_id,
        ts,
        store_id,
        customer_id,
        review,
        detect_language(review) as language

    from sales
    where review is not null

),

final as (

    select
        transaction_id,
        ts,
        store_id,
        customer_id,
        review,
        language,
        sentiment(review) as sentiment,
        sentiment_label(review) as sentiment_label

    from reviews

)

select * from final
