-- Whether each balance follows from what moved, in whole units of its token.
select
    wallets.user_id,
    wallets.address,
    rows.chain,
    rows.date,
    rows.token_key,
    coalesce(tokens.token, cast(rows.token_key as varchar)) as token,
    tokens.asset_id,
    rows.opening / pow(10, tokens.decimals) as opening,
    rows.received / pow(10, tokens.decimals) as received,
    rows.sent / pow(10, tokens.decimals) as sent,
    rows.gas / pow(10, tokens.decimals) as gas,
    rows.observed / pow(10, tokens.decimals) as observed,
    rows.difference / pow(10, tokens.decimals) as difference,
    rows.reason
from {{ ref('fct_balance_reconciliation') }} as rows
inner join {{ ref('dim_wallets') }} as wallets on rows.wallet_key = wallets.wallet_key
left join {{ ref('dim_chain_tokens') }} as tokens on rows.token_key = tokens.token_key
