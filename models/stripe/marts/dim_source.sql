{{ config(materialized='incremental', unique_key='source_id') }}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

final as (

    select
        source_id,
        source_object as object,
        source_brand as brand,
        source_funding as funding,
        source_country as country,
        source_last4 as last4,
        source_exp_month as exp_month,
        source_exp_year as exp_year,
        source_fingerprint as fingerprint,
        source_name as name,
        received_at as updated_at

    from charges
    where source_id is not null

)

select * from final
{{ limit_in_development() }}
