{{ config(materialized='incremental', unique_key=['transaction_id', 'line_number']) }}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

lines as (

    select
        transaction_id,
        ts,
        source,
        currency,
        unnest(product_details) as line,
        unnest(
            generate_series(1, cast(coalesce(array_length(product_details), 0) as bigint))
        ) as line_number

    from orders

),

final as (

    select
        transaction_id,
        line_number,
        ts,
        source,
        trim(both '"' from line['product_id']) as product_id,
        cast(line['quantity'] as integer) as quantity,
        cast(round(line['price'], 2) as decimal(18, 2)) as unit_price,
        cast(
            cast(line['quantity'] as decimal(9, 0)) * cast(round(line['price'], 2) as decimal(18, 2))
            as decimal(18, 2)
        ) as line_amount,
        currency

    from lines

)

select * from final
