-- What each transaction was worth.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('transaction_values') }}",
) }}
select
    user_key,
    date,
    transaction_key,
    value_usd,
    value_source,
    fee_usd,
    income_usd,
    expense_usd,
    paid_in_usd,
    paid_out_usd,
    matched_key,
    role
from {{ source('lake', 'transaction_values') }}
where {{ days_to_load('transaction_values') }}
