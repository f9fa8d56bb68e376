with

source as (

    select * from {{ source('retail', 'transactions') }}

),

flattened as (

    select
        transaction_id,
        "timestamp" as ts,

        store['store_id'] as store_id,
        store['name'] as store_name,
        store['city'] as store_city,
        store['region'] as store_region,

        customer['customer_id'] as customer_id,
        customer['name'] as customer_name,
        customer['age_group'] as customer_age_group,
        customer['loyalty'] as customer_loyalty,

        items,

        payment['method'] as payment_method,
        payment['amount'] as amount,
        payment['currency'] as currency,

        channel,
        nullif(trim(review), '') as review

    from source

)

select * from flattened
