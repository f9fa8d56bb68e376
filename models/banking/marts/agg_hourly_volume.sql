with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

final as (

    select
        date_trunc('hour', ts) as hour,
        currency,
        count(*) as transaction_count,
        count(distinct account_id) as active_accounts,
        sum(amount) as total_amount

    from transactions
    group by date_trunc('hour', ts), currency

)

select * from final
