{{ config(materialized='incremental', unique_key='description') }}

with

payments as (

    select * from {{ ref('stg_payments') }}

),

final as (

    select
        description,
        cast(array_length(string_to_array(description, ' ')) as integer) as word_count,
        "timestamp" as last_seen_at

    from payments

)

select * from final
