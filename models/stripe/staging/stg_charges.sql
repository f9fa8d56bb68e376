with

source as (

    select * from {{ source('stripe', 'charges') }}

),

-- a message holds the charges of one call; a declined one is null
charges as (

    select
        unnest(transactions) as charge,
        received_at,
        message_partition,
        message_offset

    from source

),

flattened as (

    select
        charge['id'] as charge_id,
        -- counted in microseconds, an instant of any ten digits of seconds is one
        to_timestamp_micros(cast(charge['created'] as bigint) * 1000000) as created_at,
        cast(charge['amount'] as bigint) as amount,
        charge['amount_captured'] as amount_captured,
        charge['amount_refunded'] as amount_refunded,
        lower(charge['currency']) as currency,
        charge['status'] as status,
        charge['paid'] as is_paid,
        charge['captured'] as is_captured,
        charge['refunded'] as is_refunded,
        charge['disputed'] as is_disputed,
        charge['livemode'] as is_live,
        charge['customer'] as customer_id,
        charge['description'] as description,
        charge['failure_code'] as failure_code,
        charge['failure_message'] as failure_message,
        charge['receipt_url'] as receipt_url,

        charge['billing_details']['name'] as billing_name,
        charge['billing_details']['email'] as billing_email,
        charge['billing_details']['phone'] as billing_phone,
        charge['billing_details']['address']['line1'] as billing_line1,
        charge['billing_details']['address']['line2'] as billing_line2,
        charge['billing_details']['address']['postal_code'] as billing_postal_code,
        charge['billing_details']['address']['city'] as billing_city,
        charge['billing_details']['address']['state'] as billing_state,
        charge['billing_details']['address']['country'] as billing_country,

        charge['outcome']['type'] as outcome_type,
        charge['outcome']['network_status'] as outcome_network_status,
        charge['outcome']['reason'] as outcome_reason,
        charge['outcome']['risk_level'] as outcome_risk_level,
        charge['outcome']['risk_score'] as outcome_risk_score,
        charge['outcome']['seller_message'] as outcome_seller_message,

        charge['payment_method'] as payment_method_id,
        charge['payment_method_details']['type'] as payment_method_type,
        charge['payment_method_details']['card']['brand'] as card_brand,
        charge['payment_method_details']['card']['network'] as card_network,
        charge['payment_method_details']['card']['funding'] as card_funding,
        charge['payment_method_details']['card']['country'] as card_country,
        charge['payment_method_details']['card']['last4'] as card_last4,
        charge['payment_method_details']['card']['exp_month'] as card_exp_month,
        charge['payment_method_details']['card']['exp_year'] as card_exp_year,
        charge['payment_method_details']['card']['fingerprint'] as card_fingerprint,

        charge['source']['id'] as source_id,
        charge['source']['object'] as source_object,
        charge['source']['brand'] as source_brand,
        charge['source']['funding'] as source_funding,
        charge['source']['country'] as source_country,
        charge['source']['last4'] as source_last4,
        charge['source']['exp_month'] as source_exp_month,
        charge['source']['exp_year'] as source_exp_year,
        charge['source']['fingerprint'] as source_fingerprint,
        charge['source']['name'] as source_name,

        received_at,
        message_partition,
        message_offset

    from charges
    where charge is not null

),

final as (

    select
        *,

        case
            when coalesce(billing_name, billing_email, billing_phone, billing_line1, billing_line2,
                          billing_postal_code, billing_city, billing_state, billing_country) is not null
            then {{ surrogate_key([
                'billing_name', 'billing_email', 'billing_phone', 'billing_line1', 'billing_line2',
                'billing_postal_code', 'billing_city', 'billing_state', 'billing_country'
            ]) }}
        end as billing_details_id,

        case
            when outcome_type is not null
            then {{ surrogate_key([
                'outcome_type', 'outcome_network_status', 'outcome_reason', 'outcome_risk_level',
                'outcome_seller_message'
            ]) }}
        end as outcome_id

    from flattened

)

select * from final
