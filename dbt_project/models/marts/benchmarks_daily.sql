{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('benchmarks_daily') }}",
) }}
select
    benchmark,
    date,
    asset_id,
    close_usd,
    price_date,
    is_trading_day,
    status,
    is_final
from {{ source('lake', 'benchmarks_daily') }}
where {{ days_to_load('benchmarks_daily') }}
