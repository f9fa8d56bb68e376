-- every transaction lies on a day that dim_date knows
select transactions.transaction_id, transactions.ts
from {{ ref('fct_transactions') }} as transactions
left join {{ ref('dim_date') }} as days on days.date_day = cast(transactions.ts as date)
where days.date_day is null
