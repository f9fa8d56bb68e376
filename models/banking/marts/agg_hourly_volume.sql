with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

-- each account once: a set of accounts for each of many hours would take much more memory
by_account as (

    select
        date_trunc('hour', ts) as hour,
        currency,
        account_id,
        count(*) as transaction_count,
        sum(amount) as total_amount

    from transactions
    group by date_trunc('hour', ts), currency, account_id

),

final as (

    select
        hour,
        currency,
        sum(transaction_count) as transaction_count,
        count(account_id) as active_accounts,
        cast(sum(total_amount) as numeric(28, 2)) as total_amount

    from by_account
    group by hour, currency

)

select * from final
