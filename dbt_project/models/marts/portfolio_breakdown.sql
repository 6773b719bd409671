-- A user's whole portfolio on the newest valued day, cut in three ways: by chain, by asset, by category. Net values:
-- what is owed is taken off. Computed when read.
with invested as (
    select
        users.user_id,
        days.ends_at,
        coalesce(chains.chain, holdings.chain) as chain,
        coalesce(tokens.price_asset_id, holdings.asset_id) as asset_id,
        'investment' as category,
        holdings.quantity * prices.close_usd as value_usd,
        coalesce(holdings.quantity * prices.close_usd, 0) as gross_usd,
        case when prices.status in ('ok', 'manual') then coalesce(holdings.quantity * prices.close_usd, 0) else 0 end
            as fresh_usd,
        -- At its cost what never had a price, as in portfolio_performance_daily.
        case
            when prices.close_usd is null
                then coalesce(holdings.quantity * prices.last_close_usd, holdings.cost_usd)
            else 0
        end as missing_usd,
        prices.close_usd is null as is_unpriced
    from {{ ref('days') }} as days
    inner join {{ ref('dim_holdings') }} as holdings
        on days.date >= holdings.held_from and days.date < holdings.held_until
    inner join {{ ref('dim_users') }} as users on holdings.user_key = users.user_key
    left join {{ ref('prices_daily') }} as prices on holdings.asset_id = prices.asset_id and days.date = prices.date
    left join {{ ref('dim_chains') }} as chains
        on holdings.chain != 'market' and holdings.chain = 'eip155:' || chains.chain_id
    left join {{ ref('dim_chain_tokens') }} as tokens
        on holdings.chain != 'market' and holdings.asset_id = tokens.asset_id
    where days.is_newest
),

held as (
    select
        user_id,
        ends_at,
        chain,
        asset_id,
        category,
        value_usd,
        gross_usd,
        fresh_usd,
        missing_usd,
        is_unpriced
    from invested
    union all
    select
        holdings.user_id,
        days.ends_at,
        holdings.chain,
        coalesce(holdings.price_asset_id, holdings.asset_id),
        holdings.category,
        holdings.value_usd,
        holdings.gross_usd,
        holdings.fresh_usd,
        holdings.missing_usd,
        holdings.is_unpriced
    from {{ ref('days') }} as days
    inner join {{ ref('chain_values') }} as holdings on days.date = holdings.date
    where days.is_newest
),

cut as (
    select
        user_id,
        ends_at,
        case
            when grouping(chain) = 0 then 'chain'
            when grouping(asset_id) = 0 then 'asset'
            else 'category'
        end as dimension,
        coalesce(chain, asset_id, category) as key,
        sum(value_usd) as value_usd,
        {{ coverage_of('sum(fresh_usd)', 'sum(gross_usd)', 'sum(missing_usd)', 'count(*) filter (where is_unpriced)') }}
            as coverage
    from held
    group by grouping sets ((user_id, ends_at, chain), (user_id, ends_at, asset_id), (user_id, ends_at, category))
),

-- A chain that is watched and was never read: what is there is not known, which is not nothing.
unread as (
    select distinct
        watched.user_id,
        days.ends_at,
        watched.chain
    from {{ ref('days') }} as days
    inner join {{ ref('watched_chains') }} as watched
        on
            days.date >= watched.added_on
            and coalesce(days.date < watched.removed_on, true)
            and not coalesce(watched.first_read_on <= days.date, false)
    where days.is_newest
),

-- An investment may lie on such a chain: one row, of which not all is known.
rows as (
    select
        cut.user_id,
        cut.ends_at,
        cut.dimension,
        cut.key,
        cut.value_usd,
        case when unread.chain is null then cut.coverage else 0.0 end as coverage
    from cut
    left join unread
        on
            cut.dimension = 'chain'
            and cut.user_id = unread.user_id
            and cut.ends_at = unread.ends_at
            and cut.key = unread.chain
    union all
    select
        unread.user_id,
        unread.ends_at,
        'chain',
        unread.chain,
        cast(null as double),
        0.0
    from unread
    left join held on unread.user_id = held.user_id and unread.chain = held.chain and unread.ends_at = held.ends_at
    where held.user_id is null
),

labels as (
    select
        'chain' as dimension,
        chain as key,
        any_value(name) as label
    from {{ ref('dim_chains') }}
    group by chain
    union all
    select
        'asset',
        asset_id,
        token
    from {{ ref('asset_names') }}
)

select
    rows.user_id,
    rows.ends_at as as_of,
    rows.dimension,
    rows.key,
    coalesce(labels.label, rows.key) as label,
    rows.value_usd,
    rows.value_usd / case
        when sum(rows.value_usd) over (partition by rows.user_id, rows.dimension) > 0
            then sum(rows.value_usd) over (partition by rows.user_id, rows.dimension)
    end as share,
    rows.coverage
from rows
left join labels on rows.dimension = labels.dimension and rows.key = labels.key
