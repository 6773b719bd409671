-- Where each portfolio stands, by day and window.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('leaderboard_ranks') }}",
) }}
select
    user_key,
    date,
    window_days,
    rank,
    pseudonym,
    roi_twr,
    pnl_over_peak_capital,
    max_drawdown,
    value_bucket,
    n_ranked,
    n_obs,
    reason
from {{ source('lake', 'leaderboard_ranks') }}
where {{ days_to_load('leaderboard_ranks') }}
