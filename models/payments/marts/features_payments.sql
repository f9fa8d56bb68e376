{{ config(materialized='incremental', unique_key='id') }}

with

payments as (

    select * from {{ ref('stg_payments') }}

),

tokenised as (

    select
        id,
        amount,
        string_to_array(description, ' ') as tokens

    from payments
    where amount is not null

),

final as (

    select
        id,
        amount,
        cast(array_length(tokens) as integer) as token_count,
        tokens

    from tokenised

)

select * from final
