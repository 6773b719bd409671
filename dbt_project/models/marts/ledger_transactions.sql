select
    users.user_id,
    rows_of.transaction_id,
    rows_of.leg,
    rows_of.happened_at,
    figures.date,
    rows_of.type,
    rows_of.venue,
    rows_of.to_venue,
    rows_of.in_asset,
    rows_of.in_quantity,
    rows_of.out_asset,
    rows_of.out_quantity,
    rows_of.fee_asset,
    rows_of.fee_quantity,
    figures.value_usd,
    figures.value_source,
    figures.fee_usd,
    figures.income_usd,
    figures.expense_usd,
    rows_of.tx_hash,
    others.transaction_id as matched_with,
    figures.value_usd is null and rows_of.type in ('airdrop', 'reward', 'income', 'mining') as is_hidden
from {{ ref('fct_transaction_values') }} as figures
inner join {{ ref('dim_transactions') }} as rows_of on figures.transaction_key = rows_of.transaction_key
inner join {{ ref('dim_users') }} as users on figures.user_key = users.user_key
left join {{ ref('dim_transactions') }} as others on figures.matched_key = others.transaction_key
