-- The price that counts of what wallets hold: the market's; of receipts that have none, what they stand for is worth.
-- Two parts, so that a filter on days or assets reaches the tables below.
select
    prices.date,
    prices.asset_id,
    coalesce(prices.close_usd, derived.close_usd) as close_usd,
    case when prices.close_usd is null and derived.close_usd is not null then derived.status else prices.status end
        as status,
    prices.last_close_usd
from {{ ref('prices_daily') }} as prices
left join {{ ref('derived_prices') }} as derived on prices.asset_id = derived.asset_id and prices.date = derived.date
union all
select
    date,
    asset_id,
    close_usd,
    status,
    cast(null as double)
from {{ ref('derived_prices') }}
where not is_listed
