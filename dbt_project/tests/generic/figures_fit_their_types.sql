{% test figures_fit_their_types(model) %}
select users.user_id, holdings.asset_id, holdings.quantity, holdings.cost_usd
from {{ ref('dim_holdings') }} as holdings
inner join {{ ref('dim_users') }} as users on holdings.user_key = users.user_key
where
    abs(holdings.quantity) >= 1e20 or abs(holdings.cost_usd) >= 1e28 or holdings.cost_usd / holdings.quantity >= 1e20
union all
select user_id, asset_id, quantity, cost_usd
from {{ ref('portfolio_holdings') }}
where origin = 'wallet' and abs(quantity) >= 1e20
{% endtest %}
