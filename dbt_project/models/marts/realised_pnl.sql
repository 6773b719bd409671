-- Gains of disposals by day and asset. Income and expenses do not depend on the method: ledger_transactions has them.
select
    users.user_id,
    uses.scope,
    uses.method,
    uses.date,
    uses.asset_id,
    {{ ledger_quantity('sum(uses.quantity)') }} as quantity,
    {{ ledger_usd('sum(uses.proceeds_usd)') }} as proceeds_usd,
    {{ ledger_usd('sum(uses.cost_usd)') }} as cost_usd,
    {{ ledger_usd('sum(uses.proceeds_usd - uses.cost_usd)') }} as realised_usd,
    cast(count(*) filter (where uses.flags & 7 != 0) as integer) as incomplete_uses
from {{ ref('fct_lot_uses') }} as uses
inner join {{ ref('dim_users') }} as users on uses.user_key = users.user_key
where uses.kind in (0, 1)
group by users.user_id, uses.scope, uses.method, uses.date, uses.asset_id
