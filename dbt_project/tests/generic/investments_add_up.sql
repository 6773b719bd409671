{# Summing every user's investments of every day is expensive, so each day is first compared by two sums
   weighted differently for each user, which equal portfolios keep equal; only days on which they differ are added up
   user by user. #}
{% test investments_add_up(model) %}
{%- set investments = ref('fct_investment_values') -%}
{%- set weight = "(hash(user_key) % 1000003 + 1) / 1000003" %}
with of_investments as (
    select
        date,
        sum(value_usd * {{ weight }}) as value_usd,
        sum(invested_usd * {{ weight }}) as invested_usd,
        sum(unpriced_legs) as unpriced_legs
    from {{ investments }}
    where {{ changed_days('investment_performance') }} or {{ changed_days('portfolio_performance') }}
    group by date
),

of_portfolios as (
    select
        date,
        sum(value_usd * {{ weight }}) as value_usd,
        sum(invested_usd * {{ weight }}) as invested_usd,
        sum(unpriced_legs) as unpriced_legs
    from {{ model }}
    where {{ changed_days('investment_performance') }} or {{ changed_days('portfolio_performance') }}
    group by date
),

suspects as (
    select coalesce(of_portfolios.date, of_investments.date) as date
    from of_portfolios
    full join of_investments on of_portfolios.date = of_investments.date
    where not coalesce(
        abs(coalesce(of_portfolios.value_usd, 0) - coalesce(of_investments.value_usd, 0)) < 0.001
        and abs(of_portfolios.invested_usd - of_investments.invested_usd) < 0.001
        and of_portfolios.unpriced_legs = of_investments.unpriced_legs,
        false
    )
),

added_up as (
    select
        user_key,
        date,
        sum(value_usd) as value_usd,
        sum(invested_usd) as invested_usd,
        sum(unpriced_legs) as unpriced_legs
    from {{ investments }}
    where date in (select date from suspects)
    group by user_key, date
)

select
    users.user_id,
    coalesce(portfolios.date, added_up.date) as date,
    portfolios.value_usd as portfolio_value_usd,
    added_up.value_usd as sum_of_values_usd,
    portfolios.invested_usd as portfolio_invested_usd,
    added_up.invested_usd as sum_of_invested_usd
from (select * from {{ model }} where date in (select date from suspects)) as portfolios
full join added_up on portfolios.user_key = added_up.user_key and portfolios.date = added_up.date
left join {{ ref('dim_users') }} as users on users.user_key = coalesce(portfolios.user_key, added_up.user_key)
where
    users.user_id is null
    or (portfolios.value_usd is null) != (added_up.value_usd is null)
    or abs(portfolios.value_usd - added_up.value_usd) > 0.005 + 1e-12 * added_up.value_usd
    or portfolios.unpriced_legs is distinct from added_up.unpriced_legs
    or not coalesce(
        abs(portfolios.invested_usd - added_up.invested_usd) <= 0.005 + 1e-12 * added_up.invested_usd, false
    )
{% endtest %}
