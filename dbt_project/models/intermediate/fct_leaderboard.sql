-- The best portfolios under pseudonyms, by day and window.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('leaderboard') }}",
) }}
select
    date,
    window_days,
    rank,
    pseudonym,
    roi_twr,
    pnl_over_peak_capital,
    max_drawdown,
    value_bucket,
    n_ranked,
    n_began
from {{ source('lake', 'leaderboard') }}
where {{ days_to_load('leaderboard') }}
