-- Profit and loss of each ledger at each close.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook="{{ delete_changed_days('profit_and_loss') }}",
) }}
select
    user_key,
    date,
    scope,
    method,
    value_usd,
    cost_usd,
    unpriced_cost_usd,
    unrealised_usd,
    realised_usd,
    income_usd,
    expense_usd,
    paid_in_usd,
    paid_out_usd,
    left_usd,
    unpriced_assets,
    incomplete_uses,
    is_final
from {{ source('lake', 'profit_and_loss') }}
where {{ days_to_load('profit_and_loss') }}
