-- What each position in a pool lost and earned against holding its coins, one row a read of the day.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('impermanent_loss') }}",
) }}
select
    date,
    user_id,
    position_id,
    as_of,
    is_last_of_day,
    source,
    basis,
    since,
    chain,
    protocol,
    pool,
    label,
    wallet_key,
    chain_position_id,
    entry_price,
    price,
    price_ratio,
    lower_price,
    upper_price,
    in_range,
    il_pct,
    il_usd,
    fees_usd,
    net_usd,
    hodl_value_usd,
    position_value_usd,
    reason,
    is_stale
from {{ source('lake', 'impermanent_loss') }}
where {{ days_to_load('impermanent_loss') }}
