select
    investments.user_id,
    investments.investment_id,
    daily.date,
    daily.invested_usd,
    daily.value_usd,
    {{ pnl_usd() }} as pnl_usd,
    {{ roi() }} as roi,
    {{ coverage() }} as coverage,
    daily.is_final
from {{ ref('fct_investment_values') }} as daily
inner join {{ ref('dim_investments') }} as investments
    on daily.user_key = investments.user_key and daily.investment_key = investments.investment_key
