-- What the holdings of wallets are worth at each close. Debts are negative; parts of a coverage are sizes. NFTs are
-- counted and have no price, so none is missed.
select
    holdings.*,
    prices.close_usd,
    coalesce(prices.status, 'no_source') as price_status,
    holdings.amount * prices.close_usd as value_usd,
    coalesce(abs(holdings.amount * prices.close_usd), 0) as gross_usd,
    case
        when {{ is_fresh('prices.status') }} and not holdings.is_stale
            then coalesce(abs(holdings.amount * prices.close_usd), 0)
        else 0
    end as fresh_usd,
    case
        when prices.close_usd is null then coalesce(abs(holdings.amount) * prices.last_close_usd, 0) else 0
    end as missing_usd,
    holdings.asset_type != 'nft' and (prices.close_usd is null or holdings.amount is null) as is_unpriced
from {{ ref('chain_holdings') }} as holdings
left join {{ ref('chain_prices') }} as prices
    on holdings.price_asset_id = prices.asset_id and holdings.date = prices.date
