with

rates as (

    select * from {{ source('stripe', 'forex_rates') }}

),

-- the first value of a date stays, whatever is fetched later
numbered as (

    select
        "date" as date_day,
        gbp,
        row_number() over (partition by "date" order by fetch_number) as number_of_date

    from rates

),

final as (

    select
        date_day,
        {%- for currency in ['usd', 'eur', 'jpy', 'cad', 'aud', 'chf', 'cny', 'sek', 'nzd', 'mxn'] %}
        gbp['{{ currency }}'] as {{ currency }}{{ ',' if not loop.last }}
        {%- endfor %}

    from numbered
    where number_of_date = 1

)

select * from final
{{ limit_in_development() }}
