with

orders as (

    select * from {{ ref('fct_orders') }}

),

-- each customer once: a set of customers for each of many minutes would take much more memory
by_customer as (

    select
        date_trunc('minute', ts) as minute,
        source,
        status,
        customer_id,
        count(*) as order_count

    from orders
    group by date_trunc('minute', ts), source, status, customer_id

),

final as (

    select
        minute,
        source,
        status,
        sum(order_count) as order_count,
        count(customer_id) as customer_count

    from by_customer
    group by minute, source, status

)

select * from final
