{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('prices_daily') }}",
) }}
select
    asset_id,
    date,
    close_usd,
    status,
    source,
    n_quotes,
    disagreement,
    is_final,
    known_at,
    reason,
    provider,
    last_close_usd
from {{ source('lake', 'prices_daily') }}
where {{ days_to_load('prices_daily') }}
