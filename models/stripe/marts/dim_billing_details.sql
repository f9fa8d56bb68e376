{{ config(materialized='incremental', unique_key='billing_details_id') }}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

final as (

    select
        billing_details_id,
        billing_name as name,
        billing_email as email,
        billing_phone as phone,
        billing_line1 as line1,
        billing_line2 as line2,
        billing_postal_code as postal_code,
        billing_city as city,
        billing_state as state,
        billing_country as country

    from charges
    where billing_details_id is not null

)

select * from final
{{ limit_in_development() }}
