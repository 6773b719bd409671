-- What each user holds on the newest valued day, coins bought in several investments added up. Computed when read.
with holdings as (
    select
        users.user_id,
        holdings.asset_id,
        days.date,
        any_value(holdings.token) as token,
        any_value(holdings.chain) as chain,
        sum(holdings.quantity) as balance,
        sum(holdings.cost_usd) as cost_usd,
        min(holdings.invested_on) as first_invested_on,
        any_value(prices.close_usd) as close_usd,
        coalesce(any_value(prices.status), 'no_source') as price_status,
        greatest(cast(days.date + 1 as timestamp), any_value(days.known_at)) as updated_at
    from {{ ref('dim_users') }} as users
    inner join {{ ref('dim_holdings') }} as holdings on users.user_key = holdings.user_key
    inner join {{ ref('days') }} as days
        on days.is_newest and days.date >= holdings.held_from and days.date < holdings.held_until
    left join {{ ref('prices_daily') }} as prices on holdings.asset_id = prices.asset_id and days.date = prices.date
    group by users.user_id, holdings.asset_id, days.date
)

select
    {{ stable_id('portfolio_assets', ['user_id', 'asset_id']) }} as id,
    user_id,
    'token' as asset_type,
    token,
    chain,
    {{ units('balance') }} as balance,
    {{ units('cost_usd / nullif(balance, 0)') }} as entry_price_usd,
    {{ units('close_usd') }} as current_price_usd,
    {{ usd('balance * close_usd - cost_usd') }} as pnl_usd,
    cast(null as decimal(18, 4)) as il_pct,
    cast(first_invested_on as timestamp) as created_at,
    updated_at,
    asset_id,
    {{ usd('balance * close_usd') }} as value_usd,
    price_status
from holdings
