-- What a provider said of followed pools, one row a pool and day that it was asked on.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('pool_yields') }}",
) }}
select
    date,
    chain,
    pool,
    tvl_usd,
    volume_usd_1d,
    volume_usd_7d,
    fee_apy,
    reward_apy,
    known_at
from {{ source('lake', 'pool_yields') }}
where {{ days_to_load('pool_yields') }}
