-- Value, flows and returns of each portfolio and day, as numbers only.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('portfolio_performance') }}",
) }}
select
    user_key,
    date,
    invested_usd,
    value_usd,
    stale_usd,
    missing_usd,
    unpriced_legs,
    flow_in_usd,
    flow_out_usd,
    daily_return,
    twr_index,
    is_final
from {{ source('lake', 'portfolio_performance') }}
where {{ days_to_load('portfolio_performance') }}
