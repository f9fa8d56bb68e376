with

source as (

    select * from {{ source('banking', 'transactions') }}

),

renamed as (

    select
        transaction_id,
        "timestamp" as ts,
        account_id,

        customer['customer_id'] as customer_id,
        customer['name'] as customer_name,
        customer['city'] as customer_city,
        customer['email'] as customer_email,

        merchant['merchant_id'] as merchant_id,
        merchant['name'] as merchant_name,
        merchant['category'] as merchant_category,

        amount,
        currency,
        transaction_type,
        channel,
        status

    from source

)

select * from renamed
