{{ config(materialized='incremental', unique_key='id') }}

with

payments as (

    select * from {{ ref('stg_payments') }}

),

final as (

    select
        id,
        amount,
        amount_raw,
        description,
        "timestamp"

    from payments

)

select * from final
