{{ config(materialized='incremental', unique_key='payment_method_id') }}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

final as (

    select
        payment_method_id,
        payment_method_type as type,
        card_brand,
        card_network,
        card_funding,
        card_country,
        card_last4,
        card_exp_month,
        card_exp_year,
        card_fingerprint,
        received_at as updated_at

    from charges
    where payment_method_id is not null

)

select * from final
{{ limit_in_development() }}
