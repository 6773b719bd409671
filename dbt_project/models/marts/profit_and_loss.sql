select
    users.user_id,
    totals.scope,
    totals.method,
    totals.date,
    totals.value_usd,
    totals.cost_usd,
    totals.unpriced_cost_usd,
    totals.unrealised_usd,
    totals.realised_usd,
    totals.income_usd,
    totals.expense_usd,
    {{ ledger_usd('totals.realised_usd + totals.income_usd - totals.expense_usd + totals.unrealised_usd') }} as pnl_usd,
    totals.paid_in_usd,
    totals.paid_out_usd,
    totals.left_usd,
    totals.unpriced_assets,
    totals.incomplete_uses,
    totals.is_final
from {{ ref('fct_profit_and_loss') }} as totals
inner join {{ ref('dim_users') }} as users on totals.user_key = users.user_key
