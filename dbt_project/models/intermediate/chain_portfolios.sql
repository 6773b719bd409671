-- What a user's wallets add up to at each close, and what stands beside it to judge it: how many watched chains were
-- ever read, and what was held the day before at the prices of both days. Grouped by user_id and ends_at in every part,
-- so that a filter on either reaches the tables below. Holdings are read once for both purposes: read twice, DuckDB
-- would first collect those of all days and users.
with wanted as (
    select date, ends_at, date as held_on, true as is_of_the_day
    from {{ ref('days') }}
    union all
    select date, ends_at, date - 1, false
    from {{ ref('days') }}
),

held as (
    select
        holdings.user_id,
        wanted.ends_at,
        wanted.is_of_the_day,
        holdings.chain,
        holdings.asset_id,
        holdings.asset_type,
        any_value(holdings.token) as token,
        sum(holdings.amount) as balance,
        sum(holdings.value_usd) as value_usd,
        sum(holdings.gross_usd) as gross_usd,
        sum(holdings.fresh_usd) as fresh_usd,
        sum(holdings.missing_usd) as missing_usd,
        count(*) filter (where holdings.is_unpriced) as unpriced,
        sum(holdings.amount * prices.close_usd) as value_on_the_day_usd,
        -- A token that never had a price tells nothing about a change; a missing price of one that had leaves it open.
        count(*) filter (
            where
            (holdings.value_usd is null or holdings.amount * prices.close_usd is null)
            and (holdings.close_usd is not null or holdings.missing_usd > 0 or prices.last_close_usd is not null)
        ) as without_change
    from wanted
    inner join {{ ref('chain_values') }} as holdings on wanted.held_on = holdings.date
    left join {{ ref('chain_prices') }} as prices
        on holdings.price_asset_id = prices.asset_id and wanted.date = prices.date
    group by
        holdings.user_id, wanted.ends_at, wanted.is_of_the_day, holdings.chain, holdings.asset_id, holdings.asset_type
),

watched as (
    select
        watched.user_id,
        days.ends_at,
        count(distinct watched.chain) as chains_watched,
        count(distinct watched.chain) filter (where watched.first_read_on <= days.date) as chains_read
    from {{ ref('days') }} as days
    inner join {{ ref('watched_chains') }} as watched
        on
            days.date >= watched.added_on
            and coalesce(days.date < watched.removed_on, true)
            and (coalesce(watched.first_tried_on <= days.date, false) or days.is_newest)
    group by watched.user_id, days.ends_at
),

invested_before as (
    select
        users.user_id,
        days.ends_at,
        any_value(daily.value_usd) as invested_before_usd,
        true as was_invested_before
    from {{ ref('days') }} as days
    inner join {{ ref('fct_portfolio_values') }} as daily on days.date = daily.date + 1
    inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
    where daily.user_key in (select wallets.user_key from {{ ref('dim_wallets') }} as wallets)
    group by users.user_id, days.ends_at
),

parts as (
    select
        user_id,
        ends_at,
        is_of_the_day,
        case when is_of_the_day then value_usd end as value_usd,
        case when is_of_the_day then gross_usd end as gross_usd,
        case when is_of_the_day then fresh_usd end as fresh_usd,
        case when is_of_the_day then missing_usd end as missing_usd,
        case when is_of_the_day then unpriced end as unpriced,
        case
            when is_of_the_day
                then cast(
                    to_json(struct_pack(token := token, chain := chain, balance := balance, value_usd := value_usd))
                    as varchar
                )
        end as entry,
        case when not is_of_the_day and without_change = 0 then value_usd end as before_usd,
        case when not is_of_the_day and without_change = 0 then value_on_the_day_usd end as before_now_usd,
        case when not is_of_the_day then without_change end as before_unknown
    from held
    union all by name
    select user_id, ends_at, true as is_of_the_day, chains_watched, chains_read
    from watched
    union all by name
    select user_id, ends_at, false as is_of_the_day, invested_before_usd, was_invested_before
    from invested_before
)

select
    user_id,
    ends_at,
    sum(value_usd) as value_usd,
    coalesce(sum(gross_usd), 0) as gross_usd,
    coalesce(sum(fresh_usd), 0) as fresh_usd,
    coalesce(sum(missing_usd), 0) as missing_usd,
    cast(coalesce(sum(unpriced), 0) as integer) as unpriced,
    cast(coalesce(max(chains_watched), 0) as integer) as chains_watched,
    cast(coalesce(max(chains_read), 0) as integer) as chains_read,
    sum(before_usd) as before_usd,
    sum(before_now_usd) as before_now_usd,
    cast(coalesce(sum(before_unknown), 0) as integer) as before_unknown,
    max(invested_before_usd) as invested_before_usd,
    coalesce(bool_or(was_invested_before), false) as was_invested_before,
    list(entry) filter (where entry is not null) as entries
from parts
group by user_id, ends_at
having bool_or(is_of_the_day)
