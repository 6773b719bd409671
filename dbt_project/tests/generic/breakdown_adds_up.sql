{% test breakdown_adds_up(model) %}
with added_up as (
    select user_id, dimension, sum(value_usd) as value_usd
    from {{ model }}
    group by user_id, dimension
),

portfolios as (
    select users.user_id, daily.value_usd
    from {{ ref('days') }} as days
    inner join {{ ref('fct_portfolio_values') }} as daily on days.date = daily.date
    inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
    where days.is_newest
    union all
    select wallets.user_id, wallets.value_usd
    from {{ ref('days') }} as days
    inner join {{ ref('chain_portfolios') }} as wallets on days.ends_at = wallets.ends_at
    where days.is_newest
),

totals as (
    select user_id, sum(value_usd) as value_usd
    from portfolios
    group by user_id
)

select
    added_up.user_id,
    added_up.dimension,
    added_up.value_usd as sum_of_parts_usd,
    totals.value_usd as total_value_usd
from added_up
left join totals on added_up.user_id = totals.user_id
where
    abs(coalesce(added_up.value_usd, 0) - coalesce(totals.value_usd, 0))
    > 0.005 + 1e-9 * abs(coalesce(totals.value_usd, 0))
{% endtest %}
