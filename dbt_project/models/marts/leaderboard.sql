select
    date as as_of,
    window_days,
    rank,
    pseudonym,
    roi_twr,
    pnl_over_peak_capital,
    max_drawdown,
    value_bucket,
    n_ranked,
    n_began
from {{ ref('fct_leaderboard') }}
