-- Every balance of every watched wallet at the newest read of its chain, also what counts in no total.
with newest as (
    select
        chain,
        max(date) as date
    from {{ ref('fct_chain_days') }}
    group by chain
)

select
    wallets.user_id,
    wallets.address,
    wallets.label,
    balances.chain,
    balances.token_key,
    coalesce(tokens.token, cast(balances.token_key as varchar)) as token,
    tokens.address as token_address,
    tokens.asset_id,
    tokens.price_asset_id,
    tokens.category,
    {{ exact_units('balances.raw', 'tokens.decimals') }} as balance,
    balances.raw_double / pow(10, tokens.decimals) as amount,
    coalesce(cast(balances.raw as varchar), balances.raw_hex) as raw,
    prices.close_usd as price_usd,
    coalesce(prices.status, 'no_source') as price_status,
    balances.raw_double / pow(10, tokens.decimals) * prices.close_usd as value_usd,
    balances.unexplained_double / pow(10, tokens.decimals) as unexplained_amount,
    coalesce(tokens.is_quarantined, false) as is_quarantined,
    coalesce(
        balances.unexplained_double > 0 and {{ counts_in_totals('tokens', 'wallets.user_id') }},
        false
    ) as counts_in_totals,
    balances.date,
    balances.as_of,
    balances.block_number,
    balances.block_hash,
    balances.is_stale or coalesce(balances.date < days.date, false) as is_stale
from newest
inner join {{ ref('fct_wallet_balances') }} as balances on newest.chain = balances.chain and newest.date = balances.date
inner join {{ ref('dim_wallets') }} as wallets on balances.wallet_key = wallets.wallet_key and wallets.is_watched
left join {{ ref('dim_chain_tokens') }} as tokens on balances.token_key = tokens.token_key
left join {{ ref('days') }} as days on days.is_newest
left join {{ ref('chain_prices') }} as prices on tokens.price_asset_id = prices.asset_id and days.date = prices.date
