{% test holdings_add_up(model) %}
with held as (
    select holdings.user_id, sum(holdings.quantity * prices.close_usd) as value_usd
    from {{ model }} as holdings
    left join {{ ref('current_prices') }} as prices on holdings.price_asset_id = prices.asset_id
    where holdings.origin = 'investment'
    group by holdings.user_id
),

portfolios as (
    select users.user_id, daily.value_usd
    from {{ ref('fct_portfolio_values') }} as daily
    inner join {{ ref('days') }} as days on daily.date = days.date and days.is_newest
    inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
)

select
    coalesce(held.user_id, portfolios.user_id) as user_id,
    held.value_usd as sum_of_assets_usd,
    portfolios.value_usd as portfolio_value_usd
from held
full join portfolios on held.user_id = portfolios.user_id
where
    abs(coalesce(held.value_usd, 0) - coalesce(portfolios.value_usd, 0))
    > 0.005 + 1e-9 * coalesce(portfolios.value_usd, 0)
{% endtest %}
