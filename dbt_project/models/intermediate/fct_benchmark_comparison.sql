-- Each portfolio beside each benchmark by day and window.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('benchmark_comparison') }}",
) }}
select
    user_key,
    date,
    window_days,
    benchmark,
    portfolio_roi,
    benchmark_roi,
    excess,
    beta,
    correlation,
    tracking_error,
    up_capture,
    down_capture,
    n_obs
from {{ source('lake', 'benchmark_comparison') }}
where {{ days_to_load('benchmark_comparison') }}
