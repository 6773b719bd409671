-- What each user holds on the newest valued day, coins bought in several investments added up: everything about a
-- holding that no price changes. Computed when read.
select
    {{ stable_id('portfolio_assets', ['users.user_id', 'holdings.asset_id']) }} as id,
    users.user_id,
    'token' as asset_type,
    any_value(holdings.token) as token,
    any_value(holdings.chain) as chain,
    holdings.asset_id,
    sum(holdings.quantity) as quantity,
    sum(holdings.cost_usd) as cost_usd,
    cast(min(holdings.invested_on) as timestamp) as created_at
from {{ ref('dim_users') }} as users
inner join {{ ref('dim_holdings') }} as holdings on users.user_key = holdings.user_key
inner join {{ ref('days') }} as days
    on days.is_newest and days.date >= holdings.held_from and days.date < holdings.held_until
group by users.user_id, holdings.asset_id
