{{ config(alias='dim_customer') }}

with

sales as (

    select * from {{ ref('stg_retail') }}

),

sightings as (

    select
        customer_id,
        customer_name as name,
        customer_age_group as age_group,
        customer_loyalty as loyalty,
        ts,
        transaction_id,
        row_number() over (partition by customer_id order by ts, transaction_id) as number_of_customer,
        lag(customer_loyalty) over (partition by customer_id order by ts, transaction_id) as loyalty_before

    from sales
    where customer_id is not null

),

-- a row for each tier, from the first sale with it to the first sale with another one
changes as (

    select *
    from sightings
    where number_of_customer = 1 or loyalty is distinct from loyalty_before

),

versions as (

    select
        *,
        lead(ts) over (partition by customer_id order by ts, transaction_id) as next_ts

    from changes

),

final as (

    select
        {{ surrogate_key(['customer_id', 'transaction_id']) }} as customer_version_id,
        customer_id,
        name,
        age_group,
        loyalty,
        ts as valid_from,
        next_ts as valid_to,
        next_ts is null as is_current

    from versions

)

select * from final
