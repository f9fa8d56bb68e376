with

orders as (

    select * from {{ ref('fct_orders') }}

),

final as (

    select
        date_trunc('minute', ts) as minute,
        source,
        payment_method,
        count(*) as order_count,
        count(*) filter (where status = 'Cancelled') as cancelled_count

    from orders
    group by date_trunc('minute', ts), source, payment_method

)

select * from final
