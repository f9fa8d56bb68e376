{%- set currencies = ['usd', 'eur', 'jpy', 'cad', 'aud', 'chf', 'cny', 'sek', 'nzd', 'mxn'] -%}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

rates as (

    select * from {{ ref('dim_forex_rate') }}

),

-- nothing can be divided by a rate of zero: it is none
known_rates as (

    select
        date_day,
        {%- for currency in currencies %}
        nullif({{ currency }}, cast(0 as numeric(18, 8))) as {{ currency }}{{ ',' if not loop.last }}
        {%- endfor %}

    from rates

),

-- a charge that was sent again, or has changed since, counts once: as it came last
numbered as (

    select
        *,
        row_number() over (
            partition by charge_id
            order by received_at desc, message_partition desc, message_offset desc
        ) as number_of_charge

    from charges

),

-- jpy has no minor unit; what a pound is in the charge's own currency, null without a rate. A type of forty
-- digits computes with more than any amount and rates need: with eighteen one charge could overflow it, and
-- with it the whole rebuild.
priced as (

    select
        charges.*,
        rates.*,
        cast(
            case when charges.currency = 'jpy' then charges.amount else charges.amount * 0.01 end
            as numeric(40, 2)
        ) as major_amount,
        case charges.currency
            when 'gbp' then cast(1 as numeric(18, 8))
            {%- for currency in currencies %}
            when '{{ currency }}' then rates.{{ currency }}
            {%- endfor %}
        end as own_rate

    from numbered as charges
    left join known_rates as rates on rates.date_day = cast(charges.created_at as date)
    where charges.number_of_charge = 1

),

final as (

    select
        charge_id,
        created_at,
        amount,
        amount_captured,
        amount_refunded,
        currency,
        {%- for currency in currencies %}
        try_cast(major_amount * {{ currency }} / own_rate as numeric(18, 6)) as amount_{{ currency }},
        {%- endfor %}
        status,
        is_paid,
        is_refunded,
        is_disputed,
        customer_id,
        billing_details_id,
        outcome_id,
        outcome_risk_score as risk_score,
        payment_method_id,
        source_id,
        failure_code

    from priced

)

select * from final
{{ limit_in_development() }}
