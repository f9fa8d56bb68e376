{{ config(materialized='incremental', unique_key='outcome_id') }}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

final as (

    select
        outcome_id,
        outcome_type as type,
        outcome_network_status as network_status,
        outcome_reason as reason,
        outcome_risk_level as risk_level,
        outcome_seller_message as seller_message

    from charges
    where outcome_id is not null

)

select * from final
{{ limit_in_development() }}
