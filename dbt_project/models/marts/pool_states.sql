-- Followed pools at each close, one row a pool: what it holds by its contract, and beside it what a provider says of it
-- on the days it was asked.
with coins as (
    select
        date,
        chain,
        protocol,
        pool,
        cast(count(*) as integer) as coins,
        count(reserve_usd) = count(*) as is_priced,
        sum(reserve_usd) as reserves_usd,
        max(token) filter (where position = 0) as token0,
        max(token) filter (where position = 1) as token1,
        max(reserve) filter (where position = 0) as reserve0,
        max(reserve) filter (where position = 1) as reserve1,
        max(decimals) filter (where position = 0) as decimals0,
        max(decimals) filter (where position = 1) as decimals1,
        max(weight) filter (where position = 0) as weight0,
        max(weight) filter (where position = 1) as weight1,
        max(cast(sqrt_price_x96 as double)) / pow(2, 96) as root,
        max(fee) as fee,
        max(as_of) as as_of,
        max(block_number) as block_number,
        bool_or(is_stale) as is_stale
    from (
        select
            states.*,
            tokens.decimals
        from {{ ref('pool_states_daily') }} as states
        left join {{ ref('dim_chain_tokens') }} as tokens on states.token_key = tokens.token_key
    )
    group by date, chain, protocol, pool
)

select
    coins.date,
    coins.chain,
    coins.protocol,
    coins.pool,
    coins.coins,
    coins.token0,
    coins.token1,
    coins.reserve0,
    coins.reserve1,
    case
        when coins.protocol = 'uniswap_v3' then coins.root * coins.root * pow(10, coins.decimals0 - coins.decimals1)
        when coins.protocol in ('uniswap_v2', 'sushiswap') then coins.reserve1 / nullif(coins.reserve0, 0)
        when coins.protocol = 'balancer_v2' and coins.coins = 2
            then coins.reserve1 / coins.weight1 / nullif(coins.reserve0 / coins.weight0, 0)
    end as price,
    case
        when coins.protocol in ('uniswap_v2', 'sushiswap') then 0.003
        else coins.fee
    end as fee,
    case when coins.is_priced then coins.reserves_usd end as tvl_usd,
    yields.tvl_usd as provider_tvl_usd,
    yields.volume_usd_1d,
    yields.volume_usd_7d,
    yields.fee_apy as fee_apr,
    yields.reward_apy as reward_apr,
    yields.known_at as provider_known_at,
    coins.as_of,
    coins.block_number,
    coins.is_stale
from coins
left join {{ ref('fct_pool_yields') }} as yields
    on coins.date = yields.date and coins.chain = yields.chain and coins.pool = yields.pool
