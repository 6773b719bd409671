-- Value of each investment and day, as numbers only: this is the big one, so no text and no derived figure is stored.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('investment_performance') }}",
) }}
select
    user_key,
    investment_key,
    date,
    invested_usd,
    value_usd,
    stale_usd,
    missing_usd,
    unpriced_legs,
    is_final
from {{ source('lake', 'investment_performance') }}
where {{ days_to_load('investment_performance') }}
