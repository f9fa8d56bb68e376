with

sales as (

    select * from {{ ref('stg_retail') }}

),

with_language as (

    select
        *,
        detect_language(review) as language

    from sales

),

final as (

    select
        *,
        sentiment(review, language) as sentiment,
        sentiment_label(review, language) as sentiment_label

    from with_language

)

select * from final
