-- What each wallet has inside protocols, one row an amount, in the smallest unit of its token. The decimals of a token
-- may become known later, so amounts are made where they are shown.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days('defi_positions') }}",
) }}
select
    date,
    chain,
    wallet_key,
    protocol,
    position_id,
    pool,
    role,
    token_key,
    raw,
    raw_hex,
    {{ as_double('raw', 'raw_hex') }} as raw_double,
    receipt_token_key,
    receipt_raw,
    receipt_raw_hex,
    facts,
    as_of,
    block_number,
    block_hash,
    is_stale
from {{ source('lake', 'defi_positions') }}
where {{ chain_days_to_load('defi_positions') }}
