with

sales as (

    select * from {{ ref('fct_sales') }}

),

final as (

    select
        store_id,
        date_trunc('hour', ts) as hour,
        currency,
        count(*) as sale_count,
        count(distinct customer_id) as known_customers,
        sum(amount) as total_amount

    from sales
    group by store_id, date_trunc('hour', ts), currency

)

select * from final
