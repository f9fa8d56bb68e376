with

orders as (

    select * from {{ ref('fct_orders') }}

),

final as (

    select
        date_trunc('minute', ts) as minute,
        source,
        status,
        count(*) as order_count,
        count(distinct customer_id) as customer_count

    from orders
    group by date_trunc('minute', ts), source, status

)

select * from final
