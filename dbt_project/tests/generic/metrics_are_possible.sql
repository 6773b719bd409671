{% test metrics_are_possible(model, lake_table) %}
select user_key, date, window_days
from {{ model }}
where
    {{ changed_days(lake_table) }}
    and (
        max_drawdown not between -1 and 0
        or twr < -1
        or volatility < 0
        or cvar_95 > var_95 + 1e-12
        or worst_day > best_day
        or coverage not between 0 and 1
        or n_obs < 0
        or (window_days > 0 and n_obs > window_days)
        or (reason is null and (roi is null or twr is null or xirr is null or sharpe is null or sortino is null or var_95 is null))
    )
{% endtest %}
