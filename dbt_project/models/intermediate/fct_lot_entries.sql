-- What entered each lot on each day.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('lot_entries') }}",
) }}
select
    user_key,
    scope,
    method,
    asset_id,
    venue,
    lot_transaction_key,
    lot_leg,
    lot_part,
    acquired_at,
    date,
    transaction_key,
    leg,
    kind,
    quantity,
    cost_usd,
    flags
from {{ source('lake', 'lot_entries') }}
where {{ days_to_load('lot_entries') }}
