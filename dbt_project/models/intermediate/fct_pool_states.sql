-- What each followed pool holds of each of its coins at the newest read of each day, in smallest units. Integers of up
-- to 256 bits are kept as text.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_chain_days('pool_states') }}",
) }}
select
    date,
    chain,
    protocol,
    pool,
    position,
    token_key,
    coalesce(cast(reserve as varchar), reserve_hex) as reserve_raw,
    {{ as_double('reserve', 'reserve_hex') }} as reserve,
    coalesce(cast(total_supply as varchar), total_supply_hex) as total_supply_raw,
    sqrt_price_x96,
    tick,
    liquidity,
    fee_pips,
    fee_growth_x128,
    amplification,
    virtual_price,
    as_of,
    block_number,
    block_hash,
    is_stale
from {{ source('lake', 'pool_states') }}
where {{ chain_days_to_load('pool_states') }}
