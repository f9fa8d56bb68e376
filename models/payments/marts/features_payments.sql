{{ config(materialized='incremental', unique_key='id') }}

with

payments as (

    select * from {{ ref('stg_payments') }}

),

tokenised as (

    select
        id,
        amount,
        tokens(description) as tokens

    from payments
    where amount is not null

),

final as (

    select
        id,
        amount,
        cast(coalesce(array_length(tokens), 0) as integer) as token_count,
        tokens

    from tokenised

)

select * from final
