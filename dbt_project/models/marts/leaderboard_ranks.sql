select
    users.user_id,
    standing.date as as_of,
    standing.window_days,
    standing.rank,
    standing.pseudonym,
    standing.roi_twr,
    standing.pnl_over_peak_capital,
    standing.max_drawdown,
    standing.value_bucket,
    standing.n_ranked,
    standing.n_obs,
    standing.reason
from {{ ref('fct_leaderboard_ranks') }} as standing
inner join {{ ref('dim_users') }} as users on standing.user_key = users.user_key
