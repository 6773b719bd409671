-- One row per step of each plan that is proposed or decided, and of the newest expired one of a strategy. Plans are
-- made after the marts, of the drift they show, and come in with a second build of the same run.
{{ config(materialized='table') }}
select
    cast(plan_id as uuid) as plan_id,
    user_id,
    strategy,
    version,
    as_of,
    status,
    method,
    step,
    action,
    plans.asset_id as asset,
    amount_tokens,
    amount_usd,
    into_asset_id as into_asset,
    into_amount_tokens,
    into_amount_usd,
    gas_usd,
    slippage_usd,
    reason,
    portfolio_usd,
    benefit_usd,
    plan_gas_usd + plan_slippage_usd as cost_usd,
    is_complete,
    expires_at,
    decided_at
from {{ source('lake', 'rebalancing_plans') }} as plans
