-- Each strategy beside what its user holds on the newest valued day, by the asset whose price counts: investments and
-- wallets, receipts and pools as what they stand for. Kept as a table: plans are made of it.
{{ config(materialized='table') }}
with targets as (
    select
        strategy_key,
        version,
        user_id,
        strategy,
        asset_id,
        target,
        band,
        may_sell,
        may_buy,
        sells_others,
        min_trade_usd,
        max_cost_share
    from {{ source('lake', 'allocation_targets') }}
),

strategies as (
    select
        strategy_key,
        any_value(version) as version,
        any_value(user_id) as user_id,
        any_value(strategy) as strategy,
        bool_or(sells_others) as sells_others,
        bool_or(may_sell) as may_sell,
        any_value(min_trade_usd) as min_trade_usd,
        any_value(max_cost_share) as max_cost_share
    from targets
    group by strategy_key
),

-- A row that cannot be valued makes the whole asset unknown: a part of it would read as a loss. What is in pools is
-- counted, but only plain tokens can be sold from one minute to the next.
held as (
    select
        user_id,
        price_asset_id as asset_id,
        any_value(token) as token,
        case
            when count(*) = count(value_usd) then sum(cast(value_usd as double))
        end as value_usd,
        coalesce(
            sum(cast(value_usd as double)) filter (where asset_type = 'token' and value_usd > 0), 0
        ) as sellable_usd,
        bool_and(asset_type = 'token') as is_plain,
        arg_max(chain, coalesce(cast(value_usd as double), 0)) as chain,
        max(cast(value_usd as double)) as largest_usd
    from {{ ref('portfolio_assets') }}
    where price_asset_id is not null and user_id in ({{ few_users(source('lake', 'allocation_targets')) }})
    group by user_id, price_asset_id
),

homes as (
    select
        user_id,
        arg_max(chain, coalesce(largest_usd, 0)) as chain
    from held
    group by user_id
),

wanted as (
    select
        strategy_key,
        asset_id,
        target,
        band,
        may_sell,
        may_buy,
        true as is_named
    from targets
    union all
    select
        strategies.strategy_key,
        held.asset_id,
        0,
        0,
        strategies.may_sell,
        false,
        false
    from strategies
    inner join held on strategies.user_id = held.user_id and held.is_plain
    where
        strategies.sells_others
        and held.value_usd > 0
        and not exists (
            select 1
            from targets
            where targets.strategy_key = strategies.strategy_key and targets.asset_id = held.asset_id
        )
),

valued as (
    select
        strategies.strategy_key,
        strategies.version,
        strategies.user_id,
        strategies.strategy,
        wanted.asset_id,
        coalesce(held.token, names.token, wanted.asset_id) as token,
        coalesce(held.chain, homes.chain, 'market') as chain,
        wanted.is_named,
        wanted.target,
        wanted.band,
        case when held.asset_id is null then 0 else held.value_usd end as value_usd,
        coalesce(held.sellable_usd, 0) as sellable_usd,
        prices.close_usd as price_usd,
        wanted.may_sell,
        wanted.may_buy,
        strategies.min_trade_usd,
        strategies.max_cost_share,
        case
            when
                count(*) filter (where held.asset_id is not null and held.value_usd is null)
                    over (partition by strategies.strategy_key)
                = 0
                then sum(coalesce(held.value_usd, 0)) over (partition by strategies.strategy_key)
        end as total_usd,
        days.date
    from wanted
    inner join strategies on wanted.strategy_key = strategies.strategy_key
    inner join {{ ref('days') }} as days on days.is_newest
    left join held on strategies.user_id = held.user_id and wanted.asset_id = held.asset_id
    left join homes on strategies.user_id = homes.user_id
    left join {{ ref('asset_names') }} as names on wanted.asset_id = names.asset_id
    left join {{ ref('prices_daily') }} as prices on wanted.asset_id = prices.asset_id and days.date = prices.date
)

select
    date,
    user_id,
    strategy,
    strategy_key,
    version,
    asset_id,
    token,
    chain,
    is_named,
    target,
    band,
    value_usd,
    total_usd,
    case when total_usd > 0 then value_usd / total_usd end as weight,
    case when total_usd > 0 then value_usd / total_usd - target end as drift,
    case when total_usd > 0 then value_usd - target * total_usd end as drift_usd,
    -- By more than a cent: rounding is not drift.
    case when total_usd > 0 then abs(value_usd - target * total_usd) > band * total_usd + 0.01 end as is_outside,
    price_usd,
    sellable_usd,
    may_sell,
    may_buy,
    min_trade_usd,
    max_cost_share
from valued
