-- what customers spend, by the merchants' category and kind of day
select
    merchants.category,
    transactions.day_type,
    count(*) as payments,
    sum(transactions.amount) as total_amount
from {{ ref('fct_transactions') }} as transactions
inner join {{ ref('dim_merchant') }} as merchants on merchants.merchant_id = transactions.merchant_id
where transactions.status = 'completed'
group by merchants.category, transactions.day_type
order by total_amount desc
