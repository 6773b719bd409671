-- What is open at the newest close of the ledgers. An asset that became another one is worth its ratio of that one.
{{ config(materialized='table') }}
with newest as (
    select max(date) as date
    from {{ ref('fct_profit_and_loss') }}
),

changes as (
    select user_key, scope, method, asset_id, date, quantity, cost_usd, flags
    from {{ ref('fct_lot_entries') }}
    union all
    select user_key, scope, method, asset_id, date, -quantity, -cost_usd, 0
    from {{ ref('fct_lot_uses') }}
),

held as (
    select
        changes.user_key,
        changes.scope,
        changes.method,
        changes.asset_id,
        newest.date,
        {{ ledger_quantity('sum(changes.quantity)') }} as quantity,
        {{ ledger_usd('sum(changes.cost_usd)') }} as cost_usd
    from changes
    inner join newest on changes.date <= newest.date
    group by all
    having sum(changes.quantity) != 0 or sum(changes.cost_usd) != 0
),

priced as (
    select
        held.*,
        prices.close_usd * coalesce(successions.ratio, 1) as close_usd
    from held
    left join {{ source('lake', 'asset_successions') }} as successions
        on held.asset_id = successions.asset_id and held.date >= successions.effective_on
    left join {{ ref('prices_daily') }} as prices
        on coalesce(successions.successor_id, held.asset_id) = prices.asset_id and held.date = prices.date
)

select
    users.user_id,
    priced.scope,
    priced.method,
    priced.asset_id,
    priced.date as as_of,
    priced.quantity,
    priced.cost_usd,
    cast(priced.cost_usd as double) / nullif(cast(priced.quantity as double), 0) as unit_cost_usd,
    priced.close_usd,
    {{ ledger_usd('cast(priced.quantity as double) * priced.close_usd') }} as value_usd,
    {{ ledger_usd('cast(priced.quantity as double) * priced.close_usd - cast(priced.cost_usd as double)') }}
        as unrealised_usd
from priced
inner join {{ ref('dim_users') }} as users on priced.user_key = users.user_key
