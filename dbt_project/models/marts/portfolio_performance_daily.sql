select
    users.user_id,
    daily.date,
    daily.invested_usd,
    daily.value_usd,
    {{ pnl_usd() }} as pnl_usd,
    {{ roi() }} as roi,
    daily.flow_in_usd,
    daily.flow_out_usd,
    daily.daily_return,
    daily.twr_index,
    {{ coverage() }} as coverage,
    daily.is_final
from {{ ref('fct_portfolio_values') }} as daily
inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
