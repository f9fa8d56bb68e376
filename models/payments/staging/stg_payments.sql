with

source as (

    select * from {{ source('payments', 'financial_transactions') }}

),

identified as (

    select
        {{ row_id('file', 'row_number') }} as id,
        file,
        row_number,
        description,
        amount,
        amount_raw,
        out_of_range,
        "timestamp"

    from source

)

select * from identified
