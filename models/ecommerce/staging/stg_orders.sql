with

source as (

    select * from {{ source('ecommerce', 'transactions') }}

),

renamed as (

    select
        transaction_id,
        "timestamp" as ts,
        source,

        cast(customer_id as bigint) as customer_id,
        cast(round(total_amount, 2) as decimal(18, 2)) as total_amount,
        upper(trim(currency)) as currency,
        trim(payment_method) as payment_method,
        {{ order_status('status') }} as status,

        shipping_address['street'] as street,
        shipping_address['city'] as city,
        shipping_address['state'] as state,
        trim(both '"' from shipping_address['zip_code']) as zip_code,
        shipping_address['country'] as country,

        product_details

    from source

),

final as (

    select
        *,
        case
            when coalesce(street, city, state, zip_code, country) is not null
            then {{ address_id(['street', 'city', 'state', 'zip_code', 'country']) }}
        end as address_id

    from renamed

)

select * from final
