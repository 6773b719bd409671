-- What each user holds on the newest valued day, without prices: coins bought in several investments added up, and what
-- the wallets hold beside them, debts taken off. Computed when read.
select
    {{ stable_id('portfolio_assets', ['users.user_id', 'holdings.asset_id']) }} as id,
    users.user_id,
    'investment' as origin,
    'token' as asset_type,
    any_value(holdings.token) as token,
    any_value(holdings.chain) as chain,
    holdings.asset_id,
    any_value(holdings.price_asset_id) as price_asset_id,
    sum(holdings.quantity) as quantity,
    sum(holdings.cost_usd) as cost_usd,
    cast(min(holdings.invested_on) as timestamp) as created_at,
    cast(null as timestamp) as as_of,
    false as is_stale
from {{ ref('dim_users') }} as users
inner join {{ ref('dim_holdings') }} as holdings on users.user_key = holdings.user_key
inner join {{ ref('days') }} as days
    on days.is_newest and days.date >= holdings.held_from and days.date < holdings.held_until
group by users.user_id, holdings.asset_id
union all
select
    {{ stable_id(
        'portfolio_assets', ['holdings.user_id', 'holdings.chain', 'holdings.asset_id', 'holdings.asset_type']
    ) }},
    holdings.user_id,
    'wallet',
    holdings.asset_type,
    any_value(holdings.token),
    holdings.chain,
    holdings.asset_id,
    any_value(holdings.price_asset_id),
    sum(holdings.amount),
    cast(null as double),
    cast(min(wallets.added_on) as timestamp),
    min(holdings.as_of),
    bool_or(holdings.is_stale)
from {{ ref('chain_holdings') }} as holdings
inner join {{ ref('days') }} as days on holdings.date = days.date and days.is_newest
inner join {{ ref('dim_wallets') }} as wallets on holdings.wallet_key = wallets.wallet_key
group by holdings.user_id, holdings.chain, holdings.asset_id, holdings.asset_type
