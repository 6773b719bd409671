with entered as (
    select
        user_key,
        scope,
        method,
        asset_id,
        venue,
        lot_transaction_key,
        lot_leg,
        lot_part,
        min(acquired_at) as acquired_at,
        min(date) as opened_on,
        sum(quantity) as quantity,
        sum(cost_usd) as cost_usd,
        bit_or(flags) as flags
    from {{ ref('fct_lot_entries') }}
    group by all
),

used as (
    select
        user_key,
        scope,
        method,
        asset_id,
        venue,
        lot_transaction_key,
        lot_leg,
        lot_part,
        sum(quantity) as quantity,
        sum(cost_usd) as cost_usd,
        max(date) as last_used_on
    from {{ ref('fct_lot_uses') }}
    group by all
)

select
    users.user_id,
    entered.scope,
    entered.method,
    entered.asset_id,
    entered.venue,
    {{ stable_id('lot', [
        'users.user_id', 'entered.scope', 'entered.method', 'entered.asset_id', "coalesce(entered.venue, '')",
        'transactions.transaction_id', 'transactions.leg', 'entered.lot_leg', 'entered.lot_part'
    ]) }} as lot_id,
    transactions.transaction_id as opened_by,
    entered.acquired_at,
    entered.opened_on,
    {{ ledger_quantity('entered.quantity') }} as quantity,
    {{ ledger_usd('entered.cost_usd') }} as cost_usd,
    {{ ledger_quantity('entered.quantity - coalesce(used.quantity, 0)') }} as open_quantity,
    {{ ledger_usd('entered.cost_usd - coalesce(used.cost_usd, 0)') }} as open_cost_usd,
    used.last_used_on,
    entered.quantity < 0 as is_short,
    {{ incomplete_because('entered.flags') }} as incomplete_because
from entered
inner join {{ ref('dim_users') }} as users on entered.user_key = users.user_key
inner join {{ ref('dim_transactions') }} as transactions on entered.lot_transaction_key = transactions.transaction_key
left join used
    on
        entered.user_key = used.user_key
        and entered.scope = used.scope
        and entered.method = used.method
        and entered.asset_id = used.asset_id
        and entered.venue is not distinct from used.venue
        and entered.lot_transaction_key = used.lot_transaction_key
        and entered.lot_leg = used.lot_leg
        and entered.lot_part = used.lot_part
