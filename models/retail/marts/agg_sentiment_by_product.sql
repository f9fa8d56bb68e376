with

reviews as (

    select * from {{ ref('fct_reviews') }}

),

items as (

    select * from {{ ref('fct_sale_items') }}

),

-- a review counts for every product of its sale, once
reviewed as (

    select distinct transaction_id, sku
    from items

),

final as (

    select
        reviewed.sku,
        count(*) as review_count,
        count(reviews.sentiment) as rated_count,
        -- doubles add up otherwise in another order, and the last digit with it; a model file of the user's own
        -- may answer what is no number
        cast(avg(try_cast(reviews.sentiment as numeric(9, 6))) as double precision) as average_sentiment,
        count(*) filter (where reviews.sentiment_label = 'positive') as positive_count,
        count(*) filter (where reviews.sentiment_label = 'neutral') as neutral_count,
        count(*) filter (where reviews.sentiment_label = 'negative') as negative_count

    from reviews
    join reviewed on reviewed.transaction_id = reviews.transaction_id
    group by reviewed.sku

)

select * from final
