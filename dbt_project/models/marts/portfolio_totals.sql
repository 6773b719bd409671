-- Each user's whole portfolio on the newest valued day, and what it was worth some days before: what alerts on worth
-- are evaluated on. Kept as a table: publishing compares it row by row.
{{ config(materialized='table') }}
{% set wanted = newest_and_before([0, 1, 7, 30, 90, 365]) -%}
{% set ends = newest_and_before([-1, 0, 6, 29, 89, 364]) -%}
with invested as (
    select
        users.user_id,
        daily.date,
        daily.value_usd as invested_usd,
        daily.stale_usd,
        daily.missing_usd,
        daily.is_final
    from {{ ref('fct_portfolio_values') }} as daily
    inner join {{ ref('dim_users') }} as users on daily.user_key = users.user_key
    where daily.date in ({{ wanted }})
),

on_chains as (
    select
        user_id,
        cast(ends_at as date) - 1 as date,
        -- Not the whole row: it holds documents that nobody asks for here.
        struct_pack(
            value_usd := value_usd,
            gross_usd := gross_usd,
            fresh_usd := fresh_usd,
            missing_usd := missing_usd,
            unpriced := unpriced,
            chains_watched := chains_watched,
            chains_read := chains_read
        ) as wallets
    from {{ ref('chain_portfolios') }}
    where ends_at in ({{ ends }})
),

totals as (
    select
        coalesce(invested.user_id, on_chains.user_id) as user_id,
        coalesce(invested.date, on_chains.date) as date,
        {{ total_of_all() }} as value_usd,
        {{ coverage_of_all() }} as coverage,
        coalesce(invested.is_final, true) as investments_are_final
    from invested
    full join on_chains on invested.user_id = on_chains.user_id and invested.date = on_chains.date
),

placed as (
    select
        totals.user_id,
        newest.date,
        newest.known_at,
        newest.date - totals.date as days_before,
        totals.value_usd,
        totals.coverage,
        newest.is_final and totals.investments_are_final as is_final
    from totals
    inner join {{ ref('days') }} as newest on newest.is_newest
)

select
    user_id,
    any_value(date) as date,
    any_value(known_at) as known_at,
    sum(value_usd) filter (where days_before = 0) as value_usd,
    max(coverage) filter (where days_before = 0) as coverage,
    bool_and(is_final) filter (where days_before = 0) as is_final,
    sum(value_usd) filter (where days_before = 1) as value_1d_usd,
    max(coverage) filter (where days_before = 1) as coverage_1d,
    sum(value_usd) filter (where days_before = 7) as value_7d_usd,
    max(coverage) filter (where days_before = 7) as coverage_7d,
    sum(value_usd) filter (where days_before = 30) as value_30d_usd,
    max(coverage) filter (where days_before = 30) as coverage_30d,
    sum(value_usd) filter (where days_before = 90) as value_90d_usd,
    max(coverage) filter (where days_before = 90) as coverage_90d,
    sum(value_usd) filter (where days_before = 365) as value_365d_usd,
    max(coverage) filter (where days_before = 365) as coverage_365d
from placed
group by user_id
having count(*) filter (where days_before = 0) > 0
