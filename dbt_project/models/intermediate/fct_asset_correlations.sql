-- Correlations of held assets by day and window.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('asset_correlations') }}",
) }}
select
    date,
    window_days,
    asset_a,
    asset_b,
    correlation,
    lower_95,
    upper_95,
    n_obs
from {{ source('lake', 'asset_correlations') }}
where {{ days_to_load('asset_correlations') }}
