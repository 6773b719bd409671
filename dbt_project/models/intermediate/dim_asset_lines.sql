-- What a unit bought as one asset is at which time: MATIC until the migration, POL from that day on, through any number
-- of successions. Half-open ranges of days. Coins whose number is invented (`sample:` before their asset) follow the
-- same line under their own name, apart from those that are known.
with recursive line as (
    select distinct
        asset_id as bought_asset_id,
        regexp_replace(asset_id, '^sample:', '') as price_asset_id,
        cast(1 as double) as units,
        date '0001-01-01' as valid_from,
        0 as step
    from {{ source('lake', 'investment_legs') }}
    union all
    select
        line.bought_asset_id,
        successions.successor_id,
        line.units * successions.ratio,
        greatest(line.valid_from, successions.effective_on),
        line.step + 1
    from line
    inner join {{ source('lake', 'asset_successions') }} as successions on line.price_asset_id = successions.asset_id
    where line.step < 20  -- a succession that leads back to itself must end
),

ranges as (
    select
        *,
        starts_with(bought_asset_id, 'sample:') as is_sample,
        coalesce(lead(valid_from) over (partition by bought_asset_id order by step), date '9999-12-31') as valid_until
    from line
)

select
    ranges.bought_asset_id,
    case when ranges.is_sample then 'sample:' else '' end || ranges.price_asset_id as asset_id,
    ranges.price_asset_id,
    coalesce(assets.symbol, split_part(ranges.price_asset_id, ':', -1)) as token,
    case
        when contains(ranges.price_asset_id, '/') then split_part(ranges.price_asset_id, '/', 1) else 'market'
    end as chain,
    ranges.units,
    ranges.valid_from,
    ranges.valid_until
from ranges
left join {{ source('lake', 'assets') }} as assets on ranges.price_asset_id = assets.asset_id
where ranges.valid_from < ranges.valid_until
