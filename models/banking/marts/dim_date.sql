with

days as (

    select unnest(generate_series(date '2023-01-01', date '2030-12-31', interval '1 day')) as date_day

),

holidays as (

    select * from {{ ref('french_public_holidays') }}

),

final as (

    select
        days.date_day,
        extract(year from days.date_day) as year,
        extract(quarter from days.date_day) as quarter,
        extract(month from days.date_day) as month,
        to_char(days.date_day, '%B') as month_name,
        extract(day from days.date_day) as day_of_month,
        to_char(days.date_day, '%A') as day_name,
        {{ day_type('days.date_day') }} as day_type,
        holidays.name is not null as is_public_holiday,
        holidays.name as public_holiday

    from days
    left join holidays on holidays.date_day = days.date_day

)

select * from final
