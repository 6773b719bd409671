-- The loss of each coin that wallets hold inside pools on the newest valued day: that of the positions it is in, by
-- worth. What portfolio_assets shows beside its liquidity.
with newest as (
    select losses.*
    from {{ ref('fct_impermanent_loss') }} as losses
    inner join {{ ref('days') }} as days on losses.date = days.date and days.is_newest
    where losses.is_last_of_day and losses.chain_position_id is not null
),

coins as (
    select distinct
        states.date,
        states.chain,
        states.wallet_key,
        states.protocol,
        states.position_id,
        tokens.asset_id
    from {{ ref('fct_defi_positions') }} as states
    inner join {{ ref('dim_chain_tokens') }} as tokens on states.token_key = tokens.token_key
    where states.protocol in {{ liquidity_protocols() }}
),

last_read as (
    select
        chain,
        max(date) as date
    from {{ ref('fct_chain_days') }}
    where date <= (select date from {{ ref('days') }} where is_newest)
    group by chain
)

select
    newest.user_id,
    newest.chain,
    coins.asset_id,
    -- Without dollars one position still has its percentage; several have no common one.
    case
        when count(newest.il_usd) = count(*)
            then 100 * sum(newest.il_usd) / nullif(sum(newest.hodl_value_usd), 0)
        when count(*) = 1 then max(newest.il_pct)
    end as il_pct
from newest
inner join last_read on newest.chain = last_read.chain
inner join coins
    on
        newest.chain = coins.chain
        and last_read.date = coins.date
        and newest.wallet_key = coins.wallet_key
        and newest.protocol = coins.protocol
        and newest.chain_position_id = coins.position_id
group by newest.user_id, newest.chain, coins.asset_id
