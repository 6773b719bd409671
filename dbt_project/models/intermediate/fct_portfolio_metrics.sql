-- Return and risk of each portfolio by day and window.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('portfolio_metrics') }}",
) }}
select
    user_key,
    date,
    window_days,
    roi,
    twr,
    xirr,
    volatility,
    sharpe,
    sortino,
    max_drawdown,
    drawdown_peak,
    drawdown_trough,
    drawdown_recovered,
    calmar,
    var_95,
    cvar_95,
    best_day,
    worst_day,
    n_obs,
    coverage,
    reason
from {{ source('lake', 'portfolio_metrics') }}
where {{ days_to_load('portfolio_metrics') }}
