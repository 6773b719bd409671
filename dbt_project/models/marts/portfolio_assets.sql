-- Holdings at the current prices. Postgres serves this very text as a view over the two published tables: a new day
-- then moves a few prices instead of every holding of every user. So nothing but SQL that DuckDB and Postgres share.
-- A double becomes a decimal by way of its shortest text: a direct cast shows 50,000 as 49999.999999999995805696 and
-- is rounded differently by the two. What does not fit is null, and the test figures_fit_their_types names it.
with figures as (
    select
        holdings.*,
        prices.close_usd,
        coalesce(prices.status, 'no_source') as price_status,
        coalesce(prices.updated_at, holdings.as_of) as updated_at,
        holdings.cost_usd / nullif(holdings.quantity, 0) as entry_usd,
        holdings.quantity * prices.close_usd as worth_usd,
        holdings.quantity * prices.close_usd - holdings.cost_usd as pnl_usd,
        losses.il_pct as lost_pct
    from {{ ref('portfolio_holdings') }} as holdings
    left join {{ ref('current_prices') }} as prices on holdings.price_asset_id = prices.asset_id
    left join {{ ref('current_impermanent_loss') }} as losses
        on
            holdings.asset_type = 'lp_position'
            and holdings.user_id = losses.user_id
            and holdings.chain = losses.chain
            and holdings.asset_id = losses.asset_id
)

select
    id,
    user_id,
    asset_type,
    token,
    chain,
    cast(case when abs(quantity) < 1e20 then cast(quantity as varchar) end as decimal(38, 18)) as balance,
    cast(case when abs(entry_usd) < 1e20 then cast(entry_usd as varchar) end as decimal(38, 18)) as entry_price_usd,
    cast(case when abs(close_usd) < 1e20 then cast(close_usd as varchar) end as decimal(38, 18)) as current_price_usd,
    cast(case when abs(pnl_usd) < 1e29 then cast(pnl_usd as varchar) end as decimal(38, 8)) as pnl_usd,
    cast(case when abs(lost_pct) < 1e13 then cast(lost_pct as varchar) end as decimal(18, 4)) as il_pct,
    created_at,
    updated_at,
    asset_id,
    cast(case when abs(worth_usd) < 1e29 then cast(worth_usd as varchar) end as decimal(38, 8)) as value_usd,
    price_status,
    price_asset_id,
    origin,
    as_of,
    is_stale
from figures
