with

sales as (

    select * from {{ ref('fct_sales') }}

),

-- each customer once: a set of customers for each of many hours would take much more memory
by_customer as (

    select
        store_id,
        date_trunc('hour', ts) as hour,
        currency,
        customer_id,
        count(*) as sale_count,
        sum(amount) as total_amount

    from sales
    group by store_id, date_trunc('hour', ts), currency, customer_id

),

final as (

    select
        store_id,
        hour,
        currency,
        sum(sale_count) as sale_count,
        count(customer_id) as known_customers,
        cast(sum(total_amount) as numeric(28, 2)) as total_amount

    from by_customer
    group by store_id, hour, currency

)

select * from final
