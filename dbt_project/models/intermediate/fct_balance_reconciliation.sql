-- What each balance should be by what moved, and what it is; in the smallest unit of its token.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days('balance_reconciliation') }}",
) }}
select
    date,
    chain,
    wallet_key,
    token_key,
    {{ as_double('opening', 'opening_hex') }} as opening,
    {{ as_double('received', 'received_hex') }} as received,
    {{ as_double('sent', 'sent_hex') }} as sent,
    {{ as_double('gas', 'gas_hex') }} as gas,
    {{ as_double('observed', 'observed_hex') }} as observed,
    {{ as_double('difference', 'difference_hex') }} as difference,
    reason
from {{ source('lake', 'balance_reconciliation') }}
where {{ chain_days_to_load('balance_reconciliation') }}
