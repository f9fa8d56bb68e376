{{ config(materialized='incremental', unique_key='store_id') }}

with

sales as (

    select * from {{ ref('stg_retail') }}

),

final as (

    select
        store_id,
        store_name as name,
        store_city as city,
        store_region as region,
        ts as updated_at

    from sales
    where store_id is not null

)

select * from final
