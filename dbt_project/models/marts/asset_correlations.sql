select
    date as as_of,
    window_days,
    asset_a,
    asset_b,
    correlation,
    lower_95,
    upper_95,
    n_obs
from {{ ref('fct_asset_correlations') }}
