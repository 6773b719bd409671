-- Kinds: 1 is a disposal, 0 an acquisition that closes a short position.
select
    users.user_id,
    uses.scope,
    uses.method,
    uses.date,
    transactions.happened_at as disposed_at,
    transactions.transaction_id,
    transactions.leg,
    case uses.leg when 2 then 'fee' when 3 then 'lost in transfer' else transactions.type end as what,
    uses.asset_id,
    uses.venue,
    uses.acquired_at,
    date_diff('day', uses.acquired_at, transactions.happened_at) as held_days,
    uses.quantity,
    uses.cost_usd,
    case when uses.flags & 2 = 0 then uses.proceeds_usd end as proceeds_usd,
    case when uses.flags & 2 = 0 then {{ ledger_usd('uses.proceeds_usd - uses.cost_usd') }} end as gain_usd,
    {{ incomplete_because('uses.flags') }} as incomplete_because
from {{ ref('fct_lot_uses') }} as uses
inner join {{ ref('dim_users') }} as users on uses.user_key = users.user_key
inner join {{ ref('dim_transactions') }} as transactions on uses.transaction_key = transactions.transaction_key
where uses.kind in (0, 1)
