-- Each valued day over all portfolios and all investments, kept day by day: what judges the days reads this instead of
-- every row of every day. The fingerprint is a sum of hashes: two sets of investments with the same one are equal.
{{ config(
    materialized='incremental', incremental_strategy='append',
    pre_hook=[
        "{{ delete_changed_days('investment_performance') }}",
        "{{ delete_changed_days('portfolio_performance') }}",
    ],
) }}
{% set wanted = "(" ~ days_to_load('investment_performance') ~ " or " ~ days_to_load('portfolio_performance') ~ ")" -%}
with portfolios as (
    select
        date,
        count(*) as portfolios,
        sum(value_usd) as value_usd,
        sum(stale_usd) as stale_usd,
        sum(missing_usd) as missing_usd,
        sum(unpriced_legs) as unpriced_legs,
        count(*) filter (where {{ coverage() }} < 0.95) as portfolios_below_95,
        bool_and(is_final) as is_final
    from {{ ref('fct_portfolio_values') }}
    where {{ wanted }}
    group by date
),

investments as (
    select
        date,
        count(*) as investments,
        sum(hash(investment_key, user_key)) as fingerprint
    from {{ ref('fct_investment_values') }}
    where {{ wanted }}
    group by date
)

select
    coalesce(portfolios.date, investments.date) as date,
    coalesce(portfolios.portfolios, 0) as portfolios,
    coalesce(portfolios.value_usd, 0) as value_usd,
    coalesce(portfolios.stale_usd, 0) as stale_usd,
    coalesce(portfolios.missing_usd, 0) as missing_usd,
    coalesce(portfolios.unpriced_legs, 0) as unpriced_legs,
    coalesce(portfolios.portfolios_below_95, 0) as portfolios_below_95,
    portfolios.is_final,
    coalesce(investments.investments, 0) as investments,
    coalesce(investments.fingerprint, 0) as fingerprint
from portfolios
full join investments on portfolios.date = investments.date
