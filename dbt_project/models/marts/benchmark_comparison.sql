select
    users.user_id,
    figures.date as as_of,
    figures.window_days,
    figures.benchmark,
    figures.portfolio_roi,
    figures.benchmark_roi,
    figures.excess,
    figures.beta,
    figures.correlation,
    figures.tracking_error,
    figures.up_capture,
    figures.down_capture,
    figures.n_obs
from {{ ref('fct_benchmark_comparison') }} as figures
inner join {{ ref('dim_users') }} as users on figures.user_key = users.user_key
