with

items as (

    select * from {{ ref('fct_sale_items') }}

),

final as (

    select
        sku,
        cast(ts as date) as date_day,
        count(distinct transaction_id) as sale_count,
        sum(quantity) as quantity,
        avg(discount) as average_discount

    from items
    group by sku, cast(ts as date)

)

select * from final
