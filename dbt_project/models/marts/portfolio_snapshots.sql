-- Computed when read: a year of JSON documents for 125,000 users would not fit beside the numbers they repeat.
-- Every group carries user_id and date, so that a filter on either reaches the tables below.
with holdings as (
    select
        users.user_id,
        daily.date,
        holdings.asset_id,
        any_value(holdings.token) as token,
        any_value(holdings.chain) as chain,
        sum(holdings.quantity) as balance,
        sum(holdings.quantity * prices.close_usd) as value_usd,
        any_value(daily.value_usd) as total_value_usd,
        any_value(daily.daily_return) as daily_return,
        any_value({{ coverage() | replace('value_usd', 'daily.value_usd') }}) as coverage,
        any_value(daily.is_final) as is_final
    from {{ ref('dim_users') }} as users
    inner join {{ ref('fct_portfolio_values') }} as daily on users.user_key = daily.user_key
    left join {{ ref('dim_holdings') }} as holdings
        on daily.user_key = holdings.user_key and daily.date >= holdings.held_from and daily.date < holdings.held_until
    left join {{ ref('prices_daily') }} as prices on holdings.asset_id = prices.asset_id and daily.date = prices.date
    group by users.user_id, daily.date, holdings.asset_id
),

documents as (
    select
        user_id,
        date,
        any_value(total_value_usd) as total_value_usd,
        any_value(daily_return) as daily_return,
        any_value(coverage) as coverage,
        any_value(is_final) as is_final,
        -- Sorted as text, which starts with the token: half the price of an ordered aggregate.
        list_sort(
            list(cast(
                to_json(struct_pack(token := token, chain := chain, balance := balance, value_usd := value_usd))
                as varchar
            )) filter (where asset_id is not null)
        ) as entries
    from holdings
    group by user_id, date
)

select
    {{ stable_id('portfolio_snapshots', ['documents.user_id', 'documents.date']) }} as id,
    documents.user_id,
    {{ usd('documents.total_value_usd') }} as total_value_usd,
    {{ percent('documents.daily_return * 100') }} as change_24h_pct,
    cast('[' || coalesce(array_to_string(documents.entries, ','), '') || ']' as json) as assets,
    cast(documents.date + 1 as timestamp) as snapshot_timestamp,
    cast(documents.date + 1 as timestamp) as created_at,
    greatest(cast(documents.date + 1 as timestamp), days.known_at) as updated_at,
    documents.coverage,
    documents.is_final
from documents
inner join {{ ref('days') }} as days on documents.date = days.date
