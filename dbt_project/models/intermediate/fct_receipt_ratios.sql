-- How much of its underlying each held receipt stands for at the newest read of each chain on each day.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days('receipt_ratios') }}",
) }}
select
    date,
    chain,
    token_key,
    underlying_token_key,
    numerator,
    denominator,
    ratio,
    reason,
    as_of,
    block_number,
    block_hash,
    is_stale
from {{ source('lake', 'receipt_ratios') }}
where {{ chain_days_to_load('receipt_ratios') }}
