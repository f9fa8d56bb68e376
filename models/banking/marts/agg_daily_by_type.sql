with

transactions as (

    select * from {{ ref('fct_transactions') }}

),

final as (

    select
        cast(ts as date) as date_day,
        transaction_type,
        currency,
        count(*) as transaction_count,
        count(*) filter (where status = 'failed') as failed_count,
        sum(amount) as total_amount

    from transactions
    group by cast(ts as date), transaction_type, currency

)

select * from final
