-- One row per asset that an investment ever was, or that a wallet holds now: its price on the newest valued day, or why
-- there is none.
with held as (
    select price_asset_id as asset_id
    from {{ ref('dim_asset_lines') }}
    union
    select price_asset_id
    from {{ ref('portfolio_holdings') }}
    where origin = 'wallet' and price_asset_id is not null
)

select
    held.asset_id,
    days.date,
    prices.close_usd,
    coalesce(prices.status, 'no_source') as status,
    greatest(cast(days.date + 1 as timestamp), days.known_at) as updated_at
from held
inner join {{ ref('days') }} as days on days.is_newest
left join {{ ref('chain_prices') }} as prices on held.asset_id = prices.asset_id and days.date = prices.date
