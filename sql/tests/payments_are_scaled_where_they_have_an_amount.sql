-- a payment has a scaled amount exactly where the file has an amount
select id, amount, amount_raw
from {{ ref('fct_payments') }}
where (amount is null) <> (amount_raw is null)
