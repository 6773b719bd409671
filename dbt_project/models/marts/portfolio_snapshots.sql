-- Computed when read: a year of JSON documents for 125,000 users would not fit beside the numbers they repeat.
-- Every aggregate is grouped by the user's id and the end of the day: a filter on either reaches the tables below.
with holdings as (
    select
        users.user_id,
        days.ends_at,
        holdings.asset_id,
        any_value(days.date) as date,
        any_value(days.known_at) as known_at,
        any_value(holdings.token) as token,
        any_value(holdings.chain) as chain,
        sum(holdings.quantity) as balance,
        sum(holdings.quantity * prices.close_usd) as value_usd,
        any_value(daily.value_usd) as total_value_usd,
        any_value(daily.daily_return) as daily_return,
        any_value(daily.stale_usd) as stale_usd,
        any_value(daily.missing_usd) as missing_usd,
        any_value(daily.is_final) as is_final
    from {{ ref('days') }} as days
    inner join {{ ref('fct_portfolio_values') }} as daily on days.date = daily.date
    inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
    left join {{ ref('dim_holdings') }} as holdings
        on daily.user_key = holdings.user_key and daily.date >= holdings.held_from and daily.date < holdings.held_until
    left join {{ ref('prices_daily') }} as prices on holdings.asset_id = prices.asset_id and daily.date = prices.date
    group by users.user_id, days.ends_at, holdings.asset_id
),

parts as (
    select
        user_id,
        ends_at,
        date,
        known_at,
        total_value_usd as invested_usd,
        daily_return,
        stale_usd,
        missing_usd,
        is_final,
        -- Sorted as text, which starts with the token: half the price of an ordered aggregate.
        case
            when asset_id is not null
                then cast(
                    to_json(struct_pack(token := token, chain := chain, balance := balance, value_usd := value_usd))
                    as varchar
                )
        end as entry
    from holdings
    union all by name
    select
        wallets.user_id,
        wallets.ends_at,
        days.date,
        days.known_at,
        days.is_final,
        wallets
    from {{ ref('days') }} as days
    inner join {{ ref('chain_portfolios') }} as wallets on days.ends_at = wallets.ends_at
),

documents as (
    select
        user_id,
        ends_at,
        any_value(date) as date,
        any_value(known_at) as known_at,
        any_value(invested_usd) as invested_usd,
        any_value(daily_return) as daily_return,
        any_value(stale_usd) as stale_usd,
        any_value(missing_usd) as missing_usd,
        bool_and(is_final) as is_final,
        any_value(wallets) as wallets,
        list(entry) filter (where entry is not null) as entries
    from parts
    group by user_id, ends_at
)

select
    {{ stable_id('portfolio_snapshots', ['user_id', 'date']) }} as id,
    user_id,
    {{ usd(total_of_all()) }} as total_value_usd,
    {{ percent('(' ~ return_of_all() ~ ') * 100') }} as change_24h_pct,
    cast(
        '[' || coalesce(array_to_string(list_sort(list_concat(entries, wallets.entries)), ','), '') || ']' as json
    ) as assets,
    ends_at as snapshot_timestamp,
    ends_at as created_at,
    greatest(ends_at, known_at) as updated_at,
    {{ coverage_of_all() }} as coverage,
    is_final
from documents
