select
    users.user_id,
    figures.date as as_of,
    figures.hhi,
    figures.effective_assets,
    figures.top_share,
    figures.top_asset_id,
    figures.average_correlation,
    figures.n_assets,
    figures.unpriced_assets
from {{ ref('fct_diversification') }} as figures
inner join {{ ref('dim_users') }} as users on figures.user_key = users.user_key
