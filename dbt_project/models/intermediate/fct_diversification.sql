-- How each portfolio is spread over assets.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('diversification') }}",
) }}
select
    user_key,
    date,
    hhi,
    effective_assets,
    top_share,
    top_asset_id,
    average_correlation,
    n_assets,
    unpriced_assets
from {{ source('lake', 'diversification') }}
where {{ days_to_load('diversification') }}
