select
    users.user_id,
    figures.date as as_of,
    figures.window_days,
    figures.roi,
    figures.twr,
    figures.xirr,
    figures.volatility,
    figures.sharpe,
    figures.sortino,
    figures.max_drawdown,
    figures.drawdown_peak,
    figures.drawdown_trough,
    figures.drawdown_recovered,
    figures.calmar,
    figures.var_95,
    figures.cvar_95,
    figures.best_day,
    figures.worst_day,
    figures.n_obs,
    figures.coverage,
    figures.reason
from {{ ref('fct_portfolio_metrics') }} as figures
inner join {{ ref('dim_users') }} as users on figures.user_key = users.user_key
