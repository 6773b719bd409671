-- What every watched wallet has inside protocols at the newest read of its chain, one row an amount.
with newest as (
    select
        chain,
        max(date) as date
    from {{ ref('fct_chain_days') }}
    group by chain
),

amounts as (
    select
        positions.*,
        newest.date as read_on,
        wallets.user_id,
        wallets.address,
        wallets.label,
        tokens.token,
        tokens.asset_id,
        case when positions.protocol != 'erc721' then tokens.price_asset_id end as price_asset_id,
        receipts.token as receipt_token,
        case
            when positions.protocol = 'erc721' then positions.raw_double
            else positions.raw_double / pow(10, tokens.decimals)
        end as amount
    from newest
    inner join {{ ref('fct_defi_positions') }} as positions
        on newest.chain = positions.chain and newest.date = positions.date
    inner join {{ ref('dim_wallets') }} as wallets on positions.wallet_key = wallets.wallet_key and wallets.is_watched
    left join {{ ref('dim_chain_tokens') }} as tokens on positions.token_key = tokens.token_key
    left join {{ ref('dim_chain_tokens') }} as receipts on positions.receipt_token_key = receipts.token_key
)

select
    amounts.user_id,
    amounts.address,
    amounts.label,
    amounts.chain,
    amounts.protocol,
    amounts.position_id,
    amounts.pool,
    amounts.role,
    amounts.token_key,
    amounts.token,
    amounts.asset_id,
    amounts.price_asset_id,
    amounts.amount,
    coalesce(cast(amounts.raw as varchar), amounts.raw_hex) as raw,
    prices.close_usd as price_usd,
    case when amounts.role = 'debt' then -1 else 1 end * amounts.amount * prices.close_usd as value_usd,
    amounts.receipt_token,
    coalesce(cast(amounts.receipt_raw as varchar), amounts.receipt_raw_hex) as receipt_raw,
    cast(amounts.facts as json) as facts,
    amounts.read_on as date,
    amounts.as_of,
    amounts.block_number,
    amounts.block_hash,
    amounts.is_stale or coalesce(amounts.read_on < days.date, false) as is_stale
from amounts
left join {{ ref('days') }} as days on days.is_newest
left join {{ ref('chain_prices') }} as prices on amounts.price_asset_id = prices.asset_id and days.date = prices.date
