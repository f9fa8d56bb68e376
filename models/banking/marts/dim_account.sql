with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

final as (

    select
        account_id,
        last_value(customer_id order by ts, transaction_id) as customer_id,
        min(ts) as first_seen_at,
        max(ts) as last_seen_at

    from transactions
    group by account_id

)

select * from final
