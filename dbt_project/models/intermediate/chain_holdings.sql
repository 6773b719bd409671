-- What each wallet holds on each valued day, directly and inside protocols, every token once: no receipts beside what
-- they stand for, no quarantined tokens but for those who vouch for them. What is owed is negative.
with held as (
    select
        date as state_date,
        chain,
        wallet_key,
        'wallet' as source,
        cast(null as varchar) as position_id,
        cast(null as varchar) as role,
        token_key,
        unexplained_double as raw_double,
        'token' as asset_type,
        cast(null as varchar) as category,
        as_of,
        is_stale
    from {{ ref('fct_wallet_balances') }}
    where unexplained_double > 0
    union all
    select
        date,
        chain,
        wallet_key,
        protocol,
        position_id,
        role,
        token_key,
        case when role = 'debt' then -raw_double else raw_double end,
        case
            when protocol in {{ liquidity_protocols() }} then 'lp_position'
            when protocol = 'erc721' then 'nft'
            else 'token'
        end,
        case
            when protocol in {{ liquidity_protocols() }} then 'liquidity'
            when protocol = 'erc721' then 'nft'
            else 'lending'
        end,
        as_of,
        is_stale
    from {{ ref('fct_defi_positions') }}
    where token_key is not null  -- an empty position has no amount
)

select
    calendar.date,
    wallets.user_key,
    wallets.user_id,
    wallets.wallet_key,
    calendar.chain,
    held.source,
    held.position_id,
    held.role,
    tokens.token_key,
    tokens.token,
    tokens.asset_id,
    case when held.asset_type != 'nft' then tokens.price_asset_id end as price_asset_id,
    held.raw_double / case when held.asset_type = 'nft' then 1 else pow(10, tokens.decimals) end as amount,
    held.asset_type,
    coalesce(held.category, tokens.category) as category,
    held.as_of,
    held.is_stale or calendar.is_stale as is_stale
from {{ ref('chain_calendar') }} as calendar
inner join held on calendar.state_date = held.state_date and calendar.chain = held.chain
inner join {{ ref('dim_wallets') }} as wallets
    on
        held.wallet_key = wallets.wallet_key
        -- What is carried on is only that of wallets which are still watched.
        and (calendar.date = held.state_date or coalesce(calendar.date < wallets.removed_on, true))
inner join {{ ref('dim_chain_tokens') }} as tokens on held.token_key = tokens.token_key
where {{ counts_in_totals('tokens', 'wallets.user_id') }}
