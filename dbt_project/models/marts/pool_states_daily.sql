-- Followed pools day by day, one row a coin: reserves in whole units and what they are worth, and what the pool says of
-- itself as it says it.
select
    states.date,
    states.chain,
    states.protocol,
    states.pool,
    states.position,
    states.token_key,
    tokens.token,
    tokens.asset_id,
    states.reserve / pow(10, tokens.decimals) as reserve,
    states.reserve_raw,
    prices.close_usd as price_usd,
    states.reserve / pow(10, tokens.decimals) * prices.close_usd as reserve_usd,
    states.total_supply_raw,
    states.sqrt_price_x96,
    states.tick,
    states.liquidity,
    states.fee_pips / 1e6 as fee,
    states.fee_growth_x128,
    weights.weight,
    states.amplification,
    cast(states.virtual_price as double) / 1e18 as virtual_price,
    states.as_of,
    states.block_number,
    states.block_hash,
    states.is_stale
from {{ ref('fct_pool_states') }} as states
left join {{ ref('dim_chain_tokens') }} as tokens on states.token_key = tokens.token_key
left join {{ ref('dim_pool_weights') }} as weights
    on states.chain = weights.chain and states.pool = weights.pool and states.position = weights.position
left join {{ ref('chain_prices') }} as prices on tokens.price_asset_id = prices.asset_id and states.date = prices.date
