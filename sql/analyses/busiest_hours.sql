-- the ten hours with the most transactions
select
    hour,
    sum(transaction_count) as transactions,
    sum(total_amount) as total_amount
from {{ ref('agg_hourly_volume') }}
group by hour
order by transactions desc
limit 10
